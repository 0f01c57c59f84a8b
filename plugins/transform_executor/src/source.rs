//! Opens what the filter's values come from: the input, or a file of the folder at `/in`.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jaq_json::Val;
use serde::Serialize;
use serde_json::Value;

use crate::files;
use crate::lines::{LineError, Lines};
use crate::request::{Format, OnError, Source};
use crate::value::from_json;

/// The largest file that is read as a whole. With the values that it becomes it fits into the memory
/// that the manifest asks for.
const WHOLE_BYTES_MAX: u64 = 32 << 20;
/// How many of the lines that were skipped are told.
const SKIPPED_TOLD_MAX: usize = 10;

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
    /// The granted folder has no such file, or it cannot be read to its end.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The file is too large to be one value.
    #[error(
        "{} has {bytes} bytes, but at most {WHOLE_BYTES_MAX} are read as a whole; a file of any size \
         is read line by line, with `format` `lines` and without `slurp`",
        path.display()
    )]
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

/// What happened while the values were read.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many values were read.
    read: Cell<u64>,
    /// The number of the last line. 0 for what has no lines.
    line: Cell<u64>,
    skipped: Cell<u64>,
    told: RefCell<Vec<SkippedLine>>,
    /// What ended the reading before the end.
    broken: RefCell<Option<SourceError>>,
}

/// A line that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedLine {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub message: String,
}

impl Tally {
    /// How many values were read.
    pub fn read(&self) -> u64 {
        self.read.get()
    }

    /// The line that was read last, if there are lines.
    pub fn line(&self) -> Option<u64> {
        Some(self.line.get()).filter(|line| *line > 0)
    }

    /// How many lines were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped.get()
    }

    /// The first of the lines that were left out.
    pub fn told(&self) -> Vec<SkippedLine> {
        self.told.borrow().clone()
    }

    /// What ended the reading before the end of the file.
    pub fn take_broken(&self) -> Option<SourceError> {
        self.broken.take()
    }

    /// Leaves the line out that was read last.
    pub fn skip(&self, message: String) {
        self.skipped.set(self.skipped.get() + 1);
        let mut told = self.told.borrow_mut();
        if told.len() < SKIPPED_TOLD_MAX {
            told.push(SkippedLine { line: self.line.get(), message });
        }
    }
}

/// The values of a source as a filter takes them.
pub struct Feed<'a> {
    values: Values,
    /// The file, for messages.
    path: PathBuf,
    on_error: OnError,
    tally: &'a Tally,
}

enum Values {
    Rest(Option<Value>),
    Lines(Lines<Box<dyn Read>>),
}

impl<'a> Feed<'a> {
    /// Opens a source, with files read from `folder`. `slurp` makes one array of all its values.
    ///
    /// # Errors
    ///
    /// A [`SourceError`] when the file is not there, too large, or not of its format. What is wrong
    /// with a line is told when it is read.
    pub fn open(
        source: Source,
        folder: &Path,
        slurp: bool,
        on_error: OnError,
        tally: &'a Tally,
    ) -> Result<Self, SourceError> {
        let (path, values) = match source {
            Source::Value(value) => (PathBuf::new(), Values::Rest(Some(wrap(value, slurp)))),
            Source::File { path, format } => {
                let path = folder.join(path);
                let values = open(&path, folder, format, slurp)?;
                (path, values)
            }
        };
        Ok(Self { values, path, on_error, tally })
    }

    fn advance(&mut self) -> Option<Result<Value, LineError>> {
        match &mut self.values {
            Values::Rest(value) => value.take().map(Ok),
            Values::Lines(lines) => {
                let next = lines.next();
                if next.is_some() {
                    self.tally.line.set(lines.number());
                }
                next
            }
        }
    }

    /// Ends the reading. The words are for a filter that asks for the value itself.
    fn fail(&mut self, error: LineError) -> String {
        self.values = Values::Rest(None);
        let path = self.path.clone();
        let error = match error {
            LineError::Unreadable(reason) => SourceError::Unreadable { path, reason },
            LineError::Malformed { number, message } => {
                SourceError::Malformed { path, message: format!("{message} (line {number})") }
            }
        };
        let words = error.to_string();
        self.tally.broken.replace(Some(error));
        words
    }
}

impl Iterator for Feed<'_> {
    type Item = Result<Val, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance()? {
                Ok(value) => {
                    self.tally.read.set(self.tally.read.get() + 1);
                    return Some(Ok(from_json(value)));
                }
                Err(LineError::Malformed { message, .. }) if self.on_error == OnError::Skip => {
                    self.tally.skip(message);
                }
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }
}

fn wrap(value: Value, slurp: bool) -> Value {
    if slurp { Value::Array(vec![value]) } else { value }
}

fn open(path: &Path, folder: &Path, format: Format, slurp: bool) -> Result<Values, SourceError> {
    let unreadable = |reason| {
        let path = path.to_owned();
        if folder.is_dir() {
            SourceError::Unreadable { path, reason }
        } else {
            SourceError::NoFolder { path, reason }
        }
    };
    let malformed = |message| SourceError::Malformed { path: path.to_owned(), message };
    let (file, bytes) = files::open(path).map_err(unreadable)?;
    if format == Format::Lines && !slurp {
        return Ok(Values::Lines(Lines::new(file)));
    }
    if bytes > WHOLE_BYTES_MAX {
        return Err(SourceError::TooLarge { path: path.to_owned(), bytes });
    }
    if format == Format::Lines {
        let values = Lines::new(file).collect::<Result<_, _>>();
        let values = values.map_err(|error| malformed(format!(": {error}")))?;
        return Ok(Values::Rest(Some(Value::Array(values))));
    }
    let mut whole = Vec::new();
    file.take(WHOLE_BYTES_MAX).read_to_end(&mut whole).map_err(unreadable)?;
    let value = parse(whole, format).map_err(malformed)?;
    Ok(Values::Rest(Some(wrap(value, slurp))))
}

fn parse(bytes: Vec<u8>, format: Format) -> Result<Value, String> {
    if format == Format::Text {
        return String::from_utf8(bytes).map(Value::String).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            format!("is not UTF-8 text: byte {place} begins no character")
        });
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let hint = if error.is_syntax() && error.column() <= 1 && error.line() > 1 {
            "; if it has one value a line, set `format` to `lines`"
        } else {
            ""
        };
        format!("is not one JSON value: {error}{hint}")
    })
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
        assert_eq!(read("für\n".as_bytes(), Format::Text), Ok(json!("für\n")));
    }

    #[test]
    fn what_is_not_of_the_format_is_reported_with_its_place() {
        let message = read(b"{}\n{}\n", Format::Json).unwrap_err();
        assert!(message.contains("line 2") && message.contains("`lines`"), "{message}");
        assert!(read(b"a\xff", Format::Text).unwrap_err().contains("byte 1"));
    }

    fn file(path: &str) -> Source {
        Source::File { path: path.into(), format: Format::Text }
    }

    fn refusal(folder: &Path) -> String {
        let tally = Tally::default();
        let opened = Feed::open(file("a.txt"), folder, false, OnError::Fail, &tally);
        opened.err().unwrap().to_string()
    }

    #[test]
    fn a_missing_folder_names_the_grant_and_a_missing_file_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let message = refusal(folder.path());
        assert!(
            message.contains("a.txt cannot be read") && !message.contains("grant"),
            "{message}"
        );
        let message = refusal(&folder.path().join("none"));
        assert!(message.ends_with("grant a folder with `--grant fs.in=PATH`"), "{message}");
    }

    #[test]
    fn a_value_needs_no_file_and_is_an_array_when_slurped() {
        for (slurp, expected) in [(false, "1"), (true, "[1]")] {
            let tally = Tally::default();
            let source = Source::Value(json!(1));
            let feed = Feed::open(source, Path::new("/nowhere"), slurp, OnError::Fail, &tally);
            let values: Vec<_> = feed.unwrap().map(|value| value.unwrap().to_string()).collect();
            assert_eq!((values, tally.read(), tally.line()), (vec![expected.to_owned()], 1, None));
        }
    }
}
