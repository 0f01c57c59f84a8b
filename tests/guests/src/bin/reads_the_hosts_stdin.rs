//! Reads standard input, of which it was given nothing.

use std::io::Read;

use apflow_guests::report;

fn main() {
    let mut stdin = Vec::new();
    let read = std::io::stdin().read_to_end(&mut stdin);
    report("stdin", if read.is_ok() && stdin.is_empty() { Err("empty") } else { Ok(stdin) });
}
