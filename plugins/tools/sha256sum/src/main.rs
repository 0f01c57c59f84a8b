//! The tool `sha256sum`: computes and checks SHA-256 digests.
//!
//! This file reads the command line; the digests are in `digest.rs`.

mod digest;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, run};

use crate::digest::{Line, digest};

fn main() -> ExitCode {
    run("sha256sum", sha256sum)
}

fn sha256sum(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut is_check, mut names) = (false, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('c') | Long("check") => is_check = true,
            // Text and binary are the same here, as everywhere but on Windows.
            Short('b' | 't') | Long("binary" | "text") => {}
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    for input in Input::all(names) {
        if is_check {
            check(&input, output)?;
        } else {
            writeln!(output, "{}  {input}", digest(&mut *input.open()?)?)?;
        }
    }
    Ok(())
}

/// Checks every file that a list names, and fails in the end if one is not what the list says.
fn check(list: &Input, output: &mut Output) -> Result<(), Failure> {
    let (mut wrong, mut checked) = (0, 0);
    for (number, line) in list.open()?.lines().enumerate() {
        let line = line?;
        let Some(Line { digest: expected, name }) = Line::parse(&line) else {
            let fault = format!("{list}: line {}: is no digest and file name", number + 1);
            return Err(Failure::new(fault));
        };
        let input = Input::from(std::ffi::OsString::from(name));
        let is_right = digest(&mut *input.open()?)?.eq_ignore_ascii_case(expected);
        writeln!(output, "{name}: {}", if is_right { "OK" } else { "FAILED" })?;
        wrong += u64::from(!is_right);
        checked += 1;
    }
    match (wrong, checked) {
        (_, 0) => Err(Failure::new(format!("{list}: names no file"))),
        (0, _) => Ok(()),
        _ => Err(Failure::new(format!("{wrong} of {checked} computed checksums did not match"))),
    }
}
