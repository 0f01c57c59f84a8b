//! Writes to standard error without an end.

use std::io::Write;

fn main() -> std::io::Result<()> {
    loop {
        std::io::stderr().write_all(&[b'e'; 4096])?;
    }
}
