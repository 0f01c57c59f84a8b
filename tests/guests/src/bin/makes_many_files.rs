//! Makes empty files and folders in turn, in the folder of its argument, until it is stopped.

use std::fs;
use std::io::{Result, Write};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_default();
    for made in 0.. {
        let path = format!("{folder}/{made}");
        let result = if made % 2 == 0 { fs::write(path, "") } else { fs::create_dir(path) };
        if let Err(error) = result {
            writeln!(std::io::stderr(), "{made} made, then {}", error.kind())?;
            return Err(error);
        }
    }
    Ok(())
}
