//! Reads every environment variable there is.

use std::io::Write;

fn main() -> std::io::Result<()> {
    for (name, value) in std::env::vars() {
        writeln!(std::io::stdout(), "{name}={value}")?;
    }
    Ok(())
}
