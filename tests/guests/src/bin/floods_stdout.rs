//! Writes to standard output without an end.

use std::io::Write;

fn main() -> std::io::Result<()> {
    loop {
        std::io::stdout().write_all(&[b'o'; 4096])?;
    }
}
