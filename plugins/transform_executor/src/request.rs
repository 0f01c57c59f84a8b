//! The input of a task, and the one source of data that it names.
//!
//! It reads no file: [`crate::source`] does.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use apflow_sdk::{JsonSchema, schemars};
use serde::Deserialize;
use serde_json::Value;

/// What to transform, and how.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The filter, in the jq language.
    pub filter: String,
    /// The value that the filter gets. `null` if neither this nor `file` is set.
    #[serde(default)]
    pub input: Value,
    /// A file to read instead of `input`: its path below `/in`, like `data/items.json`.
    #[serde(default)]
    pub file: Option<String>,
    /// How `file` is read. `json` if left out.
    #[serde(default)]
    pub format: Option<Format>,
    /// Values that the filter finds as variables: `{"limit": 3}` is `$limit`.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// Whether the output is an array of all values that the filter yields. If not, the filter
    /// must yield exactly one value, which is the output.
    #[serde(default)]
    pub collect: bool,
}

/// How the text of a file becomes the value that the filter gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON value.
    #[default]
    Json,
    /// One JSON value a line (NDJSON), as an array. Empty lines are skipped.
    Lines,
    /// Any text, as one string.
    Text,
}

/// Where the host mounts what there is to read.
pub const FOLDER: &str = "/in";

/// Where the filter's value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The input itself.
    Value(Value),
    /// A file.
    File {
        /// Its path below `/in`.
        path: PathBuf,
        /// How it is read.
        format: Format,
    },
}

/// The input contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Two sources.
    #[error("`input` and `file` are both set, but the filter gets one value")]
    TwoSources,
    /// A format of nothing.
    #[error("`format` says how `file` is read, but there is no `file`")]
    FormatWithoutFile,
    /// A path that leads out of the folder.
    #[error("`file` is `{0}`, but must be a path below /in, like `data/items.json`, without `..`")]
    Path(String),
}

impl Source {
    /// Chooses the one source that an input names.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] for each way in which the input contradicts itself.
    pub fn new(
        input: Value,
        file: Option<String>,
        format: Option<Format>,
    ) -> Result<Self, RequestError> {
        match (input, file) {
            (Value::Null, Some(file)) => {
                let path = check_path(file)?;
                Ok(Self::File { path, format: format.unwrap_or_default() })
            }
            (_, Some(_)) => Err(RequestError::TwoSources),
            (_, None) if format.is_some() => Err(RequestError::FormatWithoutFile),
            (input, None) => Ok(Self::Value(input)),
        }
    }
}

/// The path of a file from its folder. It may be written with the folder as well, as the host writes
/// the path of an uploaded file.
fn check_path(file: String) -> Result<PathBuf, RequestError> {
    let path = Path::new(&file);
    let below = path.strip_prefix(FOLDER).unwrap_or(path);
    let mut components = below.components();
    let is_below = components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if is_below && below.file_name().is_some() {
        return Ok(below.to_owned());
    }
    Err(RequestError::Path(file))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(input: Value) -> Result<Source, RequestError> {
        let input: Input = serde_json::from_value(input).unwrap();
        Source::new(input.input, input.file, input.format)
    }

    #[test]
    fn without_a_source_the_filter_gets_null() {
        assert_eq!(source(json!({ "filter": "." })), Ok(Source::Value(Value::Null)));
    }

    #[test]
    fn a_file_is_json_unless_told_otherwise() {
        let expected = |format| Ok(Source::File { path: "a/b.json".into(), format });
        let input = json!({ "filter": ".", "file": "a/b.json" });
        assert_eq!(source(input), expected(Format::Json));
        let input = json!({ "filter": ".", "file": "a/b.json", "format": "lines" });
        assert_eq!(source(input), expected(Format::Lines));
    }

    #[test]
    fn a_path_may_be_written_with_its_folder() {
        let found = source(json!({ "filter": ".", "file": "/in/files/f_1/a.json" }));
        let path = "files/f_1/a.json".into();
        assert_eq!(found, Ok(Source::File { path, format: Format::Json }));
    }

    #[test]
    fn a_filter_gets_one_value() {
        let input = json!({ "filter": ".", "file": "a", "input": 0 });
        assert_eq!(source(input), Err(RequestError::TwoSources));
        let input = json!({ "filter": ".", "format": "text", "input": "a" });
        assert_eq!(source(input), Err(RequestError::FormatWithoutFile));
    }

    #[test]
    fn a_path_out_of_the_folder_is_refused() {
        for path in [
            "/etc/passwd",
            "/in",
            "/in/../a",
            "/inside/a",
            "../a",
            "a/../../b",
            "a/..",
            "",
            ".",
            "./",
        ] {
            let found = source(json!({ "filter": ".", "file": path }));
            assert_eq!(found, Err(RequestError::Path(path.to_owned())));
        }
    }
}
