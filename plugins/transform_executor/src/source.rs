//! Reads the value that the filter gets from the folder that is mounted at `/in`.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::request::{Format, Source};

/// The largest file that is read. With the values that it becomes it fits into the memory that
/// the manifest asks for.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// The file gives no value.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No folder is granted.
    #[error("{} cannot be read: {reason}; grant a folder with `--grant fs.in=PATH`", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The granted folder has no such file.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The file is too large.
    #[error("{} has {bytes} bytes, but at most {FILE_BYTES_MAX} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file holds something else than its format.
    #[error("{} {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

impl Source {
    /// Gives the value, with files read from `folder`.
    ///
    /// # Errors
    ///
    /// A [`SourceError`] when the file is not there, too large, or not of its format.
    pub fn read(self, folder: &Path) -> Result<Value, SourceError> {
        let (path, format) = match self {
            Self::Value(value) => return Ok(value),
            Self::File { path, format } => (folder.join(path), format),
        };
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(ReadError::TooLarge(bytes)) => return Err(SourceError::TooLarge { path, bytes }),
            Err(ReadError::System(reason)) if folder.is_dir() => {
                return Err(SourceError::Unreadable { path, reason });
            }
            Err(ReadError::System(reason)) => return Err(SourceError::NoFolder { path, reason }),
        };
        parse(bytes, format).map_err(|message| SourceError::Malformed { path, message })
    }
}

enum ReadError {
    System(io::Error),
    TooLarge(u64),
}

#[expect(clippy::disallowed_methods, reason = "a plugin sees no folder but the granted one")]
fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let bytes = std::fs::metadata(path).map_err(ReadError::System)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge(bytes));
    }
    std::fs::read(path).map_err(ReadError::System)
}

fn parse(bytes: Vec<u8>, format: Format) -> Result<Value, String> {
    match format {
        Format::Json => serde_json::from_slice(&bytes).map_err(|error| {
            let hint = if error.is_syntax() && error.column() <= 1 && error.line() > 1 {
                "; if it has one value a line, set `format` to `lines`"
            } else {
                ""
            };
            format!("is not one JSON value: {error}{hint}")
        }),
        Format::Lines => {
            let is_empty = |line: &[u8]| line.trim_ascii().is_empty();
            let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
            let value = |(number, line)| {
                serde_json::from_slice::<Value>(line).map_err(|error| {
                    let reason = error.to_string();
                    let reason = reason.rsplit_once(" at line ").map_or(&*reason, |(text, _)| text);
                    let column = error.column();
                    format!("is not JSON in line {number}, column {column}: {reason}")
                })
            };
            lines.filter(|(_, line)| !is_empty(line)).map(value).collect()
        }
        Format::Text => String::from_utf8(bytes).map(Value::String).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            format!("is not UTF-8 text: byte {place} begins no character")
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &[u8], format: Format) -> Result<Value, String> {
        parse(text.to_vec(), format)
    }

    #[test]
    fn each_format_makes_its_value() {
        assert_eq!(read(b" {\"a\": 1}\n", Format::Json), Ok(json!({ "a": 1 })));
        assert_eq!(read(b"1\n\n{}\r\n", Format::Lines), Ok(json!([1, {}])));
        assert_eq!(read(b"", Format::Lines), Ok(json!([])));
        assert_eq!(read("für\n".as_bytes(), Format::Text), Ok(json!("für\n")));
    }

    #[test]
    fn what_is_not_of_the_format_is_reported_with_its_place() {
        let message = read(b"{}\n{}\n", Format::Json).unwrap_err();
        assert!(message.contains("line 2") && message.contains("`lines`"), "{message}");
        assert_eq!(
            read(b"1\n\n{x}\n", Format::Lines).unwrap_err(),
            "is not JSON in line 3, column 2: key must be a string"
        );
        assert!(read(b"a\xff", Format::Text).unwrap_err().contains("byte 1"));
    }

    fn file(path: &str) -> Source {
        Source::File { path: path.into(), format: Format::Text }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the file that the test reads")]
    fn a_file_is_read_below_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "text").unwrap();
        assert_eq!(file("a.txt").read(folder.path()).unwrap(), json!("text"));
    }

    #[test]
    fn a_missing_folder_names_the_grant_and_a_missing_file_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let message = file("a.txt").read(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("a.txt cannot be read") && !message.contains("grant"),
            "{message}"
        );
        let message = file("a.txt").read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(message.ends_with("grant a folder with `--grant fs.in=PATH`"), "{message}");
    }

    #[test]
    fn a_value_needs_no_file() {
        assert_eq!(Source::Value(json!(1)).read(Path::new("/nowhere")).unwrap(), json!(1));
    }
}
