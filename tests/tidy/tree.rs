//! The files of the project, held in memory so that every check is a pure function over them.
//!
//! It does not judge anything. Build output, hidden folders and version control are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Endings of the files whose text is kept.
const TEXT_ENDINGS: [&str; 7] = ["rs", "toml", "md", "wit", "sql", "yaml", "yml"];

/// Hidden folders that belong to the project all the same.
const HIDDEN_FOLDERS_KEPT: [&str; 3] = [".cargo", ".ci", ".github"];

/// The project's files by their path from its root, with `/` between folders.
#[derive(Default)]
pub(crate) struct Tree {
    /// Text of the files that some check reads.
    texts: BTreeMap<String, String>,
    /// Every file and folder, read or not.
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the project at `root`.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// Makes a tree of the given files: `(path, text)`.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            for (at, _) in path.match_indices('/') {
                tree.paths.insert(path[..at].to_owned());
            }
            tree.paths.insert((*path).to_owned());
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    /// Text of the file at `path`.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file or folder at `path`; the root itself is `""`.
    pub(crate) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// Path and text of every file with this ending, in the order of the paths.
    pub(crate) fn with_ending(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().filter_map(move |(path, text)| {
            let (_, its_ending) = path.rsplit_once('.')?;
            (its_ending == ending).then_some((path.as_str(), text.as_str()))
        })
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let is_folder = entry.file_type()?.is_dir();
            if is_folder && !is_kept(&name) {
                continue;
            }
            if is_folder {
                self.read_folder(&entry.path(), &path)?;
            } else if name.rsplit_once('.').is_some_and(|(_, end)| TEXT_ENDINGS.contains(&end)) {
                self.texts.insert(path.clone(), fs::read_to_string(entry.path())?);
            }
            self.paths.insert(path);
        }
        Ok(())
    }
}

/// Whether a folder of this name belongs to the project's sources.
fn is_kept(name: &str) -> bool {
    name != "target" && (!name.starts_with('.') || HIDDEN_FOLDERS_KEPT.contains(&name))
}

/// A place where the project breaks one of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The file, from the project's root.
    pub(crate) path: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) fix: String,
}

impl Violation {
    /// A violation at a line of a file.
    pub(crate) fn new(path: &str, line: usize, what: String, fix: &str) -> Self {
        Self { path: path.to_owned(), line, what, fix: fix.to_owned() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}; {}", self.path, self.line, self.what, self.fix)
    }
}

#[test]
fn a_tree_knows_its_folders() {
    let tree = Tree::of(&[("docs/guide/first.md", "# First\n")]);
    assert!(tree.has("docs") && tree.has("docs/guide") && tree.has("docs/guide/first.md"));
    assert!(!tree.has("docs/guide/second.md"));
}

#[test]
fn build_output_and_hidden_folders_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["src", "target", ".git", ".cargo"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file.toml"), "a = 1\n").unwrap();
    }
    let tree = Tree::read(folder.path()).unwrap();
    let found: Vec<_> = tree.with_ending("toml").map(|(path, _)| path).collect();
    assert_eq!(found, [".cargo/file.toml", "src/file.toml"]);
}

#[test]
fn a_violation_names_file_line_what_and_what_to_do() {
    let violation = Violation::new("host/src/main.rs", 7, "`x` is wrong".to_owned(), "write `y`");
    assert_eq!(violation.to_string(), "host/src/main.rs:7: `x` is wrong; write `y`");
}
