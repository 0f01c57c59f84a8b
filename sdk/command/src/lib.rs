//! What command tools have in common: how they read their arguments and their inputs, and how they
//! end.
//!
//! A command tool is a program of the world `wasi:cli/command`. It knows nothing of tasks, so it is
//! built and tested like any other program. What it does is its own; none of it is here.

mod failure;
mod input;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::process::ExitCode;

pub use failure::Failure;
pub use input::Input;
pub use lexopt::{Arg, Parser, ValueExt};

/// Standard output, written in blocks.
pub type Output = BufWriter<StdoutLock<'static>>;

/// Runs a program to its end: 0 when it did its work, else 1 and what is wrong on standard error,
/// with the name of the program before it.
///
/// There is no other code, since WebAssembly knows only whether a program ended well.
pub fn run(
    name: &str,
    program: impl FnOnce(Parser, &mut Output) -> Result<(), Failure>,
) -> ExitCode {
    let mut output = BufWriter::new(io::stdout().lock());
    let ended = program(Parser::from_env(), &mut output);
    // What was written before a failure is part of what a reader of it wants to know.
    let flushed = output.flush().map_err(Failure::from);
    let Err(failure) = ended.and(flushed) else { return ExitCode::SUCCESS };
    // Nobody is left to tell when this fails as well.
    drop(writeln!(io::stderr(), "{name}: {failure}"));
    ExitCode::FAILURE
}

/// The whole number that follows an option.
///
/// # Errors
///
/// A [`Failure`] that names the option when what follows it is none, or too large.
pub fn number(arguments: &mut Parser, option: &str) -> Result<u64, Failure> {
    let value = arguments.value()?.string()?;
    value.parse().map_err(|_| {
        Failure::new(format!("`{option}` is `{value}`, but must be a whole number from 0 on"))
    })
}
