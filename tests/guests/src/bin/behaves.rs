//! Does nothing wrong: says what it was given. The other guests are judged against it.

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let mut stdin = String::new();
    std::io::stdin().read_to_string(&mut stdin)?;
    let arguments: Vec<String> = std::env::args().collect();
    write!(std::io::stdout(), "{} read {stdin:?}", arguments.join(" "))?;
    write!(std::io::stderr(), "nothing to complain about")
}
