//! The tool `base64`: encodes and decodes Base64.
//!
//! This file reads the command line; the work is in `code.rs`.

mod code;

use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Input, Output, Parser, number, run};

use crate::code::Alphabet;

/// As in MIME, RFC 2045.
const WRAP_USUAL: u64 = 76;

fn main() -> ExitCode {
    run("base64", base64)
}

fn base64(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut is_decode, mut ignores_garbage, mut wrap) = (false, false, WRAP_USUAL);
    let (mut alphabet, mut names) = (Alphabet::Standard, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('d') | Long("decode") => is_decode = true,
            Short('i') | Long("ignore-garbage") => ignores_garbage = true,
            Short('w') | Long("wrap") => wrap = number(&mut arguments, "wrap")?,
            Long("url") => alphabet = Alphabet::Url,
            Value(name) => names.push(name),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if names.len() > 1 {
        return Err(Failure::new("reads one file, but several are named"));
    }
    for input in Input::all(names) {
        let mut input = input.open()?;
        if is_decode {
            code::decode(&mut *input, output, alphabet, ignores_garbage)?;
        } else {
            code::encode(&mut *input, output, alphabet, wrap)?;
        }
    }
    Ok(())
}
