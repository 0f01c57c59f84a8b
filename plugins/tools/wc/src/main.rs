//! The tool `wc`: counts the lines, words and bytes of files.
//!
//! This file reads the command line; the counting is in `count.rs`.

mod count;

use std::io::Write;
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, run};

use crate::count::{Columns, Counts};

/// How wide the columns of standard input are, whose size nobody knows before its end.
const STDIN_WIDTH: usize = 7;

fn main() -> ExitCode {
    run("wc", wc)
}

fn wc(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut columns, mut names) = (Columns::default(), Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('l') | Long("lines") => columns.lines = true,
            Short('w') | Long("words") => columns.words = true,
            Short('m') | Long("chars") => columns.characters = true,
            Short('c') | Long("bytes") => columns.bytes = true,
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    let columns = columns.or_usual();
    let is_named = !names.is_empty();
    let inputs = Input::all(names);
    let width = if inputs.len() == 1 && columns.count() == 1 { 1 } else { width(&inputs)? };
    let mut total = Counts::default();
    for input in &inputs {
        let counts = Counts::of(&mut *input.open()?)?;
        total += counts;
        let name = if is_named { format!(" {input}") } else { String::new() };
        writeln!(output, "{}{name}", columns.show(&counts, width))?;
    }
    if inputs.len() > 1 {
        writeln!(output, "{} total", columns.show(&total, width))?;
    }
    Ok(())
}

/// As wide as the size of all files together, which is the largest of their numbers.
#[expect(clippy::disallowed_methods, reason = "a command sees no folders but those of its task")]
fn width(inputs: &[Input]) -> Result<usize, Failure> {
    let mut bytes = 0;
    for input in inputs {
        let Input::File(path) = input else { return Ok(STDIN_WIDTH) };
        bytes += std::fs::metadata(path).map_err(|reason| Failure::at(path, reason))?.len();
    }
    Ok(bytes.to_string().len())
}
