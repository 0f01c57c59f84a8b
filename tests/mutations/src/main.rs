//! Puts faults into a copy of the store, one after the other, and runs its tests on each: a fault
//! that no test catches is a hole in the tests.
//!
//! `cargo mutations` tries all, `cargo mutations WORD` those with the word in their name. Each is a
//! build and a run of tests, so all of them take half an hour; they are no part of `cargo test`.

mod list;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use list::{MUTATIONS, Mutation};

/// What of the workspace the store's tests need. The rest is left out of the copy's workspace.
const COPIED: [&str; 6] = [
    "Cargo.lock",
    "clippy.toml",
    "rust-toolchain.toml",
    "host/model",
    "host/store",
    "tests/postgres.rs",
];
/// How often a process is killed in each run: enough to catch a fault of durability.
const ROUNDS: &str = "12";

/// The sets of tests, the quick ones first: most faults are caught by those.
const SETS: [&[&str]; 5] = [
    &["--lib"],
    &["--test", "sqlite"],
    &["--test", "proof_sqlite"],
    &["--test", "postgres"],
    &["--test", "proof_postgres"],
];

/// The longest that a set may take, its build included: some faults have a test wait for ever.
const SET_MAX: &str = "15m";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let word = std::env::args().nth(1).unwrap_or_default();
    match run(&word) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Tries the faults with this word in their name. How many were not caught.
fn run(word: &str) -> Result<usize, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let copy = tempfile::tempdir()?;
    make_copy(&root, copy.path())?;
    if let Some(test) = caught_by(&root, copy.path())? {
        return Err(format!("`{test}` fails without any fault").into());
    }
    let mut missed = 0;
    for mutation in MUTATIONS.iter().filter(|mutation| mutation.name.contains(word)) {
        let file = copy.path().join("host/store/src").join(mutation.file);
        let before = fs::read_to_string(&file)?;
        fs::write(&file, apply(mutation, &before)?)?;
        let caught = caught_by(&root, copy.path())?;
        missed += usize::from(caught.is_none());
        let by = caught.map_or("NOT CAUGHT".to_owned(), |test| format!("caught by {test}"));
        say(&format!("{}: {by}", mutation.name));
        fs::write(&file, before)?;
    }
    Ok(missed)
}

fn say(line: &str) {
    // Whoever listened may be gone.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Copies the sources of the store, as a workspace of its own.
fn make_copy(root: &Path, to: &Path) -> Result<(), Failure> {
    for path in COPIED {
        copy(&root.join(path), &to.join(path))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let (_, after) = manifest.split_once("members = [").ok_or("the workspace has no members")?;
    let (_, rest) = after.split_once(']').ok_or("the members do not end")?;
    let rest: String = rest
        .lines()
        .filter(|line| !line.starts_with("exclude") && !line.starts_with("default-members"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let members = "[workspace]\nresolver = \"3\"\nmembers = [\"host/model\", \"host/store\"]\n";
    Ok(fs::write(to.join("Cargo.toml"), format!("{members}{rest}"))?)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, to)?;
    Ok(())
}

/// The source with the fault in it.
fn apply(mutation: &Mutation, source: &str) -> Result<String, Failure> {
    let mut source = source.to_owned();
    for (from, to) in mutation.changes {
        let count = source.matches(from).count();
        if count != 1 {
            let Mutation { name, file, .. } = mutation;
            return Err(format!("`{name}`: {file} holds {count} times, not once: {from}").into());
        }
        source = source.replace(from, to);
    }
    Ok(source)
}

/// Runs the tests of the copy, one set after the other. The first that fails.
fn caught_by(root: &Path, copy: &Path) -> Result<Option<String>, Failure> {
    for set in SETS {
        if let Some(test) = failed_of(set, root, copy)? {
            return Ok(Some(test));
        }
    }
    Ok(None)
}

/// Runs a set of tests of the copy. The first that fails, or does not end.
fn failed_of(set: &[&str], root: &Path, copy: &Path) -> Result<Option<String>, Failure> {
    let target: PathBuf = root.join("target/mutations");
    let mut cargo = Command::new("timeout");
    cargo.arg(SET_MAX).arg(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["test", "--offline", "--package", "apflow-store"]).args(set);
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", target).env("APFLOW_PROOF_ROUNDS", ROUNDS);
    let done = cargo.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&done.stdout);
    let told = |end: &str| {
        let mut lines = said.lines().filter(|line| line.starts_with("test "));
        lines.find(|line| line.ends_with(end)).and_then(|line| line.split_whitespace().nth(1))
    };
    match told("FAILED").or_else(|| told("over 60 seconds")) {
        Some(test) => Ok(Some(test.to_owned())),
        None => Err(format!("no test ran: {}", String::from_utf8_lossy(&done.stderr)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_can_be_put_in() {
        let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/store/src");
        for mutation in MUTATIONS {
            let source = fs::read_to_string(store.join(mutation.file)).unwrap();
            apply(mutation, &source).unwrap();
        }
    }
}
