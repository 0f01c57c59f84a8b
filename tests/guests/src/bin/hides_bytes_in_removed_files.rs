//! Fills files, removes them while it holds them open, and fills the next: what nobody can see any
//! more is on the disk all the same.

use std::fs;
use std::fs::File;
use std::io::{Result, Write};

fn main() -> Result<()> {
    let mut held = Vec::new();
    loop {
        let mut file = File::create("/scratch/hidden")?;
        file.write_all(&vec![b'x'; 64 << 10])?;
        fs::remove_file("/scratch/hidden")?;
        held.push(file);
    }
}
