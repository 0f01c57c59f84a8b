//! Writes to the file of its first argument until it is stopped, and says how far it came.

use std::fs::File;
use std::io::{Result, Write};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let mut file = File::create(path)?;
    let mut written = 0;
    loop {
        match file.write(&[b'x'; 4096]) {
            Ok(bytes) => written += bytes,
            Err(error) => {
                writeln!(std::io::stderr(), "{written} bytes, then {}", error.kind())?;
                return Err(error);
            }
        }
    }
}
