//! Makes folders in folders until it is stopped, and moves them into each other: whoever removes
//! them has to go down as far.

use std::fs;
use std::io::{Result, Write};

fn main() -> Result<()> {
    let mut path = "/scratch".to_owned();
    let mut depth = 0;
    let error = loop {
        path.push_str("/d");
        match fs::create_dir(&path) {
            Ok(()) => depth += 1,
            Err(error) => break error,
        }
    };
    fs::create_dir("/scratch/other")?;
    let word = match fs::rename("/scratch/other", format!("{}/other", &path[..path.len() - 2])) {
        Ok(()) => "deeper",
        Err(_) => "refused",
    };
    writeln!(std::io::stdout(), "{depth} deep, then {}, then {word}", error.kind())
}
