//! Complains and ends with an exit code of its own.

use std::io::Write;
use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    writeln!(std::io::stderr(), "the disk is made of cheese")?;
    Ok(ExitCode::from(7))
}
