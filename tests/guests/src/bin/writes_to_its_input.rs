//! Tries everything that changes the folder it may only read, and says what came of it.

use std::fs;
use std::fs::OpenOptions;
use std::io::{Result, Write};

use apflow_guests::report;

const FILE: &str = "/in/notes.txt";

fn main() {
    let deeds: [(&str, Result<()>); 6] = [
        ("overwrites", fs::write(FILE, "gone")),
        (
            "appends",
            OpenOptions::new().append(true).open(FILE).and_then(|mut file| file.write_all(b"!")),
        ),
        ("creates", fs::write("/in/new.txt", "new")),
        ("renames", fs::rename(FILE, "/in/other.txt")),
        ("makes a folder", fs::create_dir("/in/folder")),
        ("removes", fs::remove_file(FILE)),
    ];
    for (deed, result) in deeds {
        report(deed, result);
    }
}
