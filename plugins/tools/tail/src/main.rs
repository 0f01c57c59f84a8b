//! The tool `tail`: gives the last lines or bytes of files.
//!
//! This file reads the command line; the work is in `last.rs`.

mod last;

use std::io::Write;
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, run};

use crate::last::Part;

fn main() -> ExitCode {
    run("tail", tail)
}

fn tail(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut part, mut is_quiet, mut names) = (Part::USUAL, false, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('n') | Long("lines") => part = Part::lines(&arguments.value()?.string()?)?,
            Short('c') | Long("bytes") => part = Part::bytes(&arguments.value()?.string()?)?,
            Short('q') | Long("quiet") => is_quiet = true,
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    let inputs = Input::all(names);
    for (index, input) in inputs.iter().enumerate() {
        if inputs.len() > 1 && !is_quiet {
            let before = if index > 0 { "\n" } else { "" };
            writeln!(output, "{before}==> {input} <==")?;
        }
        part.copy(&mut *input.open()?, output)?;
    }
    Ok(())
}
