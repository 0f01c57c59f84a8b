//! The tool `markdown`: makes HTML of Markdown.
//!
//! This file reads the command line; the work is in `html.rs`.

mod html;

use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, run};

use crate::html::Dialect;

fn main() -> ExitCode {
    run("markdown", markdown)
}

fn markdown(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut dialect, mut names) = (Dialect::default(), Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("gfm") => dialect.is_gfm = true,
            Long("safe") => dialect.is_safe = true,
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    for input in Input::all(names) {
        html::write(&input.read_text()?, output, dialect)?;
    }
    Ok(())
}
