//! Reads the paths of its arguments, and says of each whether it got there.

use std::io::Write;

fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        let word = match std::fs::read_to_string(&path) {
            Ok(text) => format!("holds {}", text.trim()),
            Err(error) => format!("is out of reach: {}", error.kind()),
        };
        writeln!(std::io::stdout(), "{path} {word}")?;
    }
    Ok(())
}
