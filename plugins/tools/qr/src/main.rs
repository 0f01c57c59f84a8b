//! The tool `qr`: draws a QR code.
//!
//! This file reads the command line; the drawing is in `draw.rs`.

mod draw;

use std::io::Write;
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, ValueExt, run};

use crate::draw::{Form, Level, draw};

fn main() -> ExitCode {
    run("qr", qr)
}

fn qr(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut form, mut level, mut text) = (Form::Svg, Level::Medium, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('t') | Long("type") => form = Form::parse(&arguments.value()?.string()?)?,
            Short('l') | Long("level") => level = Level::parse(&arguments.value()?.string()?)?,
            Value(value) if text.is_none() => text = Some(value.string()?),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let text = text.map_or_else(|| Input::Stdin.read_text(), Ok)?;
    writeln!(output, "{}", draw(&text, form, level)?.trim_end_matches('\n'))?;
    Ok(())
}
