//! Takes what the filter yields, and makes the output of it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jaq_json::Val;
use serde_json::{Value, json};

use crate::files;
use crate::request::{OUT, Target};
use crate::source::Tally;
use crate::value::{ValueError, to_json};

/// How many values are collected.
const VALUES_MAX: usize = 1_000_000;
/// How many bytes of text are collected: what the manifest allows as the output.
const TEXT_BYTES_MAX: usize = 32 << 20;
/// How much of a file is written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What the filter yields cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The filter yielded no value.
    #[error("the filter yields nothing; set `collect` to get an array of all that it yields")]
    Nothing,
    /// The filter yielded more than one value.
    #[error(
        "the filter yields more than one value; set `collect` to get an array of all, `output_file` to write them, or write `first(…)`"
    )]
    Several,
    /// The filter yielded too many values.
    #[error(
        "the filter yields more than {VALUES_MAX} values, which are not collected; set `output_file` to write them"
    )]
    TooMany,
    /// The filter yielded too much text.
    #[error(
        "the filter yields more than {TEXT_BYTES_MAX} bytes of text, which are not collected; set `output_file` to write them"
    )]
    TooLong,
    /// A value is no JSON.
    #[error("the filter yields what JSON cannot carry: {0}")]
    Value(#[from] ValueError),
    /// The file cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// What takes values.
pub enum Taker {
    /// Takes one.
    One(Option<Value>),
    /// Takes all, as an array.
    All(Vec<Value>),
    /// Takes all, as text.
    Text(Vec<u8>),
    /// Writes all to a file.
    File(Box<Writing>),
}

/// A file that is being written.
pub struct Writing {
    /// As the caller wrote it, below `/out`.
    name: PathBuf,
    file: BufWriter<Box<dyn Write>>,
    is_raw: bool,
    line: Vec<u8>,
    values: u64,
    bytes: u64,
}

impl Taker {
    /// Opens a target, with files written to `folder`.
    ///
    /// # Errors
    ///
    /// [`TargetError::Unwritable`].
    pub fn open(target: Target, folder: &Path) -> Result<Self, TargetError> {
        Ok(match target {
            Target::One => Self::One(None),
            Target::All => Self::All(Vec::new()),
            Target::Text => Self::Text(Vec::new()),
            Target::File { path: name, is_raw } => {
                let file = files::create(&folder.join(&name))
                    .map_err(|reason| TargetError::Unwritable { path: name.clone(), reason })?;
                let file = BufWriter::with_capacity(BUFFER_BYTES, file);
                let line = Vec::new();
                Self::File(Box::new(Writing { name, file, is_raw, line, values: 0, bytes: 0 }))
            }
        })
    }

    /// Takes one more value.
    ///
    /// # Errors
    ///
    /// A [`TargetError`] when it is one too many, is no JSON, or cannot be written.
    pub fn take(&mut self, value: &Val) -> Result<(), TargetError> {
        match self {
            Self::One(Some(_)) => return Err(TargetError::Several),
            Self::One(one) => *one = Some(to_json(value)?),
            Self::All(all) if all.len() >= VALUES_MAX => return Err(TargetError::TooMany),
            Self::All(all) => all.push(to_json(value)?),
            Self::Text(text) => {
                write_line(text, value, true)?;
                if text.len() > TEXT_BYTES_MAX {
                    return Err(TargetError::TooLong);
                }
            }
            Self::File(writing) => writing.take(value)?,
        }
        Ok(())
    }

    /// The output of the task.
    ///
    /// # Errors
    ///
    /// [`TargetError::Nothing`] when the one value did not come, and [`TargetError::Unwritable`].
    pub fn finish(self, tally: &Tally) -> Result<Value, TargetError> {
        match self {
            Self::One(one) => one.ok_or(TargetError::Nothing),
            Self::All(all) => Ok(Value::Array(all)),
            Self::Text(text) => Ok(Value::String(String::from_utf8_lossy(&text).into_owned())),
            Self::File(writing) => writing.finish(tally),
        }
    }
}

impl Writing {
    fn take(&mut self, value: &Val) -> Result<(), TargetError> {
        self.line.clear();
        write_line(&mut self.line, value, self.is_raw)?;
        self.file.write_all(&self.line).map_err(|reason| self.unwritable(reason))?;
        self.values += 1;
        self.bytes += self.line.len() as u64;
        Ok(())
    }

    fn finish(mut self, tally: &Tally) -> Result<Value, TargetError> {
        self.file.flush().map_err(|reason| self.unwritable(reason))?;
        Ok(json!({
            "file": self.name,
            "values": self.values,
            "bytes": self.bytes,
            "inputs": tally.read(),
            "skipped": tally.skipped(),
            "skipped_lines": tally.told(),
        }))
    }

    fn unwritable(&self, reason: io::Error) -> TargetError {
        TargetError::Unwritable { path: Path::new(OUT).join(&self.name), reason }
    }
}

fn write_line(line: &mut Vec<u8>, value: &Val, is_raw: bool) -> Result<(), TargetError> {
    match value {
        Val::TStr(text) if is_raw => line.extend_from_slice(text),
        Val::TStr(_)
        | Val::Null
        | Val::Bool(_)
        | Val::Num(_)
        | Val::BStr(_)
        | Val::Arr(_)
        | Val::Obj(_) => {
            let length = line.len();
            // Writing into memory fails only for a value that has no form, and this one has.
            if serde_json::to_writer(&mut *line, &to_json(value)?).is_err() {
                line.truncate(length);
            }
        }
    }
    line.push(b'\n');
    Ok(())
}
