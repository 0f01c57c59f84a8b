//! What a program reads.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::Failure;

/// Where the host puts the files of a task.
const FOLDER: &str = "/in";
/// How much is read at once: a call of the host costs more than the copying.
const BUFFER_BYTES: usize = 64 << 10;

/// Something that a program reads from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// What a command line names: `-` and no name at all are standard input.
    pub fn all(names: Vec<OsString>) -> Vec<Self> {
        let mut inputs: Vec<Self> = names.into_iter().map(Self::from).collect();
        if inputs.is_empty() {
            inputs.push(Self::Stdin);
        }
        inputs
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that names the file when it cannot be opened, and the grant when the task has
    /// no files.
    pub fn open(&self) -> Result<Box<dyn BufRead>, Failure> {
        match self {
            Self::Stdin => Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin()))),
            Self::File(path) => open(path),
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it cannot be opened or read.
    pub fn read(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads all of it as text.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it cannot be opened or read, or is not UTF-8.
    pub fn read_text(&self) -> Result<String, Failure> {
        String::from_utf8(self.read()?)
            .map_err(|error| Failure::new(format!("{self}: is not UTF-8: {}", error.utf8_error())))
    }
}

impl From<OsString> for Input {
    fn from(name: OsString) -> Self {
        if name == "-" { Self::Stdin } else { Self::File(name.into()) }
    }
}

impl fmt::Display for Input {
    /// The name that programs show: `-` for standard input.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => formatter.write_str("-"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let has_no_folder = || path.starts_with(FOLDER) && std::fs::metadata(FOLDER).is_err();
    match std::fs::File::open(path) {
        Ok(file) => Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file))),
        Err(reason) if has_no_folder() => {
            let hint = "grant a folder with `--grant fs.in=PATH`, or upload the file";
            Err(Failure::at(path, format!("{reason}; {hint}")))
        }
        Err(reason) => Err(Failure::at(path, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_a_dash_are_standard_input() {
        assert_eq!(Input::all(vec![]), [Input::Stdin]);
        let named = Input::all(vec!["a".into(), "-".into()]);
        assert_eq!(named, [Input::File("a".into()), Input::Stdin]);
    }

    #[test]
    fn a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "ä").unwrap();
        assert_eq!(Input::File(path.clone()).read_text().unwrap(), "ä");
        std::fs::write(&path, b"\xff").unwrap();
        let failure = Input::File(path).read_text().unwrap_err().to_string();
        assert!(failure.contains("is not UTF-8"), "{failure}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = Input::File("nowhere/a".into()).open().err().unwrap().to_string();
        assert!(failure.starts_with("nowhere/a: "), "{failure}");
        let failure = Input::File("/in/a".into()).open().err().unwrap().to_string();
        assert!(failure.ends_with("or upload the file"), "{failure}");
    }
}
