//! The tool `csv`: turns CSV into JSON and back, and selects columns.
//!
//! This file reads the command line; each operation has a file of its own.

mod from_json;
mod select;
mod table;
mod to_json;

use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, run};

use crate::table::Table;

fn main() -> ExitCode {
    run("csv", csv)
}

fn csv(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut table, mut input) = (Table::default(), Input::Stdin);
    let (mut is_typed, mut is_lines, mut operation) = (false, false, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("file") => input = Input::from(arguments.value()?),
            Short('d') | Long("delimiter") => {
                table.delimiter = table::delimiter(&arguments.value()?.string()?)?;
            }
            Long("no-headers") => table.has_headers = false,
            Long("typed") => is_typed = true,
            Long("json-lines") => is_lines = true,
            Value(name) if operation.is_none() => operation = Some(name.string()?),
            Value(name) => table.columns.push(name.string()?),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    match operation.as_deref() {
        Some("to-json") => to_json::write(&table, is_typed, is_lines, input.open()?, output),
        Some("from-json") => from_json::write(&table, input.open()?, output),
        Some("select") => select::write(&table, input.open()?, output),
        other => {
            let given = other.map_or("there is no operation".to_owned(), |name| {
                format!("the operation is `{name}`")
            });
            Err(Failure::new(format!("{given}, but it must be `to-json`, `from-json` or `select`")))
        }
    }
}
