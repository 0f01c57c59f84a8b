//! Writes bytes that are no UTF-8 to standard output.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(&[0xff, 0xfe, 0x00, 0xc0, 0x80])
}
