//! Tries to get out of the folder that it may write to by links, steps up and absolute paths.

use std::fs;
use std::io::{Error, Result, Write};

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::PathFlags;

fn main() -> Result<()> {
    let folders = get_directories();
    let find = |path: &str| folders.iter().find(|(_, at)| at == path).map(|(folder, _)| folder);
    let out = find("/out").ok_or(Error::other("there is no /out"))?;
    let input = find("/in").ok_or(Error::other("there is no /in"))?;
    fs::write("/out/own", "own")?;
    let none = PathFlags::empty();
    let deeds = [
        ("links to /etc/passwd", out.symlink_at("/etc/passwd", "absolute").is_ok()),
        ("links to a step up", out.symlink_at("../../secret", "relative").is_ok()),
        ("links to its own file", out.symlink_at("own", "own-link").is_ok()),
        ("links its own file once more", out.link_at(none, "own", out, "twice").is_ok()),
        ("links its input", input.link_at(none, "notes.txt", out, "stolen").is_ok()),
        ("moves its input", fs::rename("/in/notes.txt", "/out/moved").is_ok()),
        ("moves into its input", fs::rename("/out/own", "/in/own").is_ok()),
        ("writes a step up", fs::write("/out/../escaped", "x").is_ok()),
        ("writes two steps up", fs::write("/out/../../escaped", "x").is_ok()),
        ("writes an absolute path", fs::write("/escaped", "x").is_ok()),
        ("reads a step up", fs::read("/out/../../../apflow.db").is_ok()),
        ("makes a folder a step up", fs::create_dir("/out/../folder").is_ok()),
        ("removes its folder", fs::remove_dir("/out").is_ok()),
    ];
    for (deed, is_done) in deeds {
        let word = if is_done { "done" } else { "out of reach" };
        writeln!(std::io::stdout(), "{deed}: {word}")?;
    }
    fs::remove_file("/out/own")
}
