//! JSON on the command line: as it is, from a file, or from standard input.

use std::convert::Infallible;
use std::io::Read;
use std::str::FromStr;

use apflow_model::clock::Timestamp;
use apflow_model::state::JobState;
use cap_std::ambient_authority;
use cap_std::fs::File;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CliError;

/// The most bytes that are read, the same as an HTTP body may have.
const BYTES_MAX: u64 = 16 << 20;

/// Where JSON comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The argument itself.
    Text(String),
    /// A file.
    File(String),
    /// Standard input.
    Stdin,
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.to_owned()),
            None if text == "-" => Self::Stdin,
            None => Self::Text(text.to_owned()),
        })
    }
}

impl Source {
    /// Reads the JSON.
    pub(crate) fn read(&self) -> Result<Value, CliError> {
        let (what, text) = match self {
            Self::Text(text) => ("the argument".to_owned(), text.clone()),
            Self::File(path) => {
                let file = File::open_ambient(path, ambient_authority());
                let text = file.and_then(read);
                (path.clone(), text.map_err(|source| CliError::Io { what: path.clone(), source })?)
            }
            Self::Stdin => {
                let what = "standard input".to_owned();
                let text = read(std::io::stdin());
                (what.clone(), text.map_err(|source| CliError::Io { what, source })?)
            }
        };
        serde_json::from_str(&text)
            .map_err(|error| CliError::Usage(format!("{what} is not JSON: {error}")))
    }
}

fn read(reader: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    reader.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other("it has more than 16 MiB"));
    }
    Ok(text)
}

/// Reads a word or a moment of the JSON shapes, for example a state.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|error| error.to_string())
}

/// Reads a moment, or a day, which stands for its first moment in UTC.
pub(crate) fn day_or_moment(text: &str) -> Result<Timestamp, String> {
    word(text).or_else(|error| word(&format!("{text}T00:00:00Z")).map_err(|_| error))
}

/// Reads a state in which a job has ended.
pub(crate) fn end(text: &str) -> Result<JobState, String> {
    let state = word::<JobState>(text)?;
    let open = || format!("a job that is `{text}` has not ended");
    state.is_end().then_some(state).ok_or_else(open)
}
