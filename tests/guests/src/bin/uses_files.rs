//! Does nothing wrong: does with files what its arguments say, and says what came of each.
//!
//! A deed is written `write PATH TEXT`, `fill PATH BYTES`, `cut PATH BYTES`, `read PATH`,
//! `list PATH`, `remove PATH`, `folder PATH` or `move PATH PATH`. The last word of all may be `fail`
//! or `abort`.

use std::fmt::Write as _;
use std::fs;
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Result, Write};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut all = String::new();
    while let Some(deed) = words.next() {
        if deed == "fail" {
            return Err(Error::other("told to fail"));
        }
        if deed == "abort" {
            write!(std::io::stderr(), "{all}")?;
            std::process::abort();
        }
        let mut next = || words.next().ok_or(ErrorKind::InvalidInput);
        let path = next()?;
        let done = match deed.as_str() {
            "write" => fs::write(&path, next()?).map(|()| "done".to_owned()),
            "fill" => fill(&path, number(&next()?)?),
            "cut" => cut(&path, number(&next()?)?),
            "read" => fs::read_to_string(&path),
            "list" => list(&path),
            "remove" => fs::remove_file(&path).map(|()| "done".to_owned()),
            "folder" => fs::create_dir(&path).map(|()| "done".to_owned()),
            "move" => fs::rename(&path, next()?).map(|()| "done".to_owned()),
            _ => Err(ErrorKind::InvalidInput.into()),
        };
        let said = done.unwrap_or_else(|error| error.kind().to_string());
        writeln!(all, "{deed} {path}: {said}").map_err(Error::other)?;
    }
    write!(std::io::stdout(), "{all}")
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(Error::other)
}

/// Adds this many bytes at the end.
fn fill(path: &str, bytes: u64) -> Result<String> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let piece = [b'x'; 4096];
    let mut left = usize::try_from(bytes).map_err(Error::other)?;
    while left > 0 {
        left -= file.write(&piece[..left.min(piece.len())])?;
    }
    Ok("done".to_owned())
}

/// Makes it exactly this long.
fn cut(path: &str, bytes: u64) -> Result<String> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_len(bytes).map(|()| "done".to_owned())
}

fn list(path: &str) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}
