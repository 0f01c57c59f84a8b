//! Opens the same file without an end, and closes none.

use std::fs::File;

fn main() -> std::io::Result<()> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(File::open("/in/notes.txt")?);
    }
}
