//! The tool `uniq`: drops or counts lines that repeat the one before.
//!
//! This file reads the command line; the work is in `runs.rs`.

mod runs;

use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, number, run};

use crate::runs::{Compare, Show};

fn main() -> ExitCode {
    run("uniq", uniq)
}

fn uniq(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut show, mut compare, mut names) = (Show::default(), Compare::default(), Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('c') | Long("count") => show.count = true,
            Short('d') | Long("repeated") => show.repeated_only = true,
            Short('u') | Long("unique") => show.unique_only = true,
            Short('i') | Long("ignore-case") => compare.ignores_case = true,
            Short('f') | Long("skip-fields") => {
                compare.fields_skipped = number(&mut arguments, "skip-fields")?;
            }
            Short('s') | Long("skip-chars") => {
                compare.bytes_skipped = number(&mut arguments, "skip-chars")?;
            }
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if names.len() > 1 {
        return Err(Failure::new("reads one file, but several are named"));
    }
    for input in Input::all(names) {
        runs::write(&mut *input.open()?, output, compare, show)?;
    }
    Ok(())
}
