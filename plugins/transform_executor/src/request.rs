//! The input of a task: the one source of values that it names, and the one target.
//!
//! It opens no file: [`crate::source`] and [`crate::target`] do.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use apflow_sdk::{JsonSchema, schemars};
use serde::Deserialize;
use serde_json::Value;

/// What to transform, and how.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches of jq, each on its own")]
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
    /// Whether the filter gets all values of `file` at once, as an array. If not, it is run for each.
    #[serde(default)]
    pub slurp: bool,
    /// Whether the filter is run once, for `null`, and asks for the values itself by `input` and
    /// `inputs`: `reduce inputs as $line (0; . + $line.size)`.
    #[serde(default)]
    pub null_input: bool,
    /// Values that the filter finds as variables: `{"limit": 3}` is `$limit`, and `$ARGS.named.limit`.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// Values that the filter finds as `$ARGS.positional`.
    #[serde(default)]
    pub args: Vec<Value>,
    /// Whether the output is an array of all values that the filter yields. If not, the filter
    /// must yield exactly one value, which is the output.
    #[serde(default)]
    pub collect: bool,
    /// Whether what the filter yields becomes text, one value a line: texts as they are, anything else
    /// as JSON.
    #[serde(default)]
    pub raw_output: bool,
    /// A file to write what the filter yields to, one value a line: its path below `/out`. The output
    /// says what was written then.
    #[serde(default)]
    pub output_file: Option<String>,
    /// What becomes of a line of `file` that is no JSON, or that the filter fails on.
    #[serde(default)]
    pub on_error: OnError,
}

/// How the text of a file becomes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON value.
    #[default]
    Json,
    /// One JSON value a line (NDJSON). Empty lines are skipped.
    Lines,
    /// Any text, as one string.
    Text,
}

/// What becomes of a bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It fails the task, with its number.
    #[default]
    Fail,
    /// It is left out and counted. What the filter yielded for it before it failed stays.
    Skip,
}

/// Where the host mounts what there is to read.
pub const IN: &str = "/in";
/// Where the host mounts what is left for others.
pub const OUT: &str = "/out";

/// Where the filter's values come from.
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

/// Where what the filter yields goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The only value is the output.
    One,
    /// The output is an array of all values.
    All,
    /// The output is a text, with one value a line.
    Text,
    /// A file, with one value a line.
    File {
        /// Its path below `/out`.
        path: PathBuf,
        /// Whether texts are written as they are.
        is_raw: bool,
    },
}

/// The input contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Two sources.
    #[error("`input` and `file` are both set, but the values have one source")]
    TwoSources,
    /// A format of nothing.
    #[error("`format` says how `file` is read, but there is no `file`")]
    FormatWithoutFile,
    /// Bad lines of what has none.
    #[error(
        "`on_error` says what becomes of bad lines, but there is no `file` with `format` `lines`"
    )]
    NoLines,
    /// Two targets.
    #[error("`collect` and `{0}` are both set, but what the filter yields has one target")]
    TwoTargets(&'static str),
    /// A path that leads out of the folder.
    #[error(
        "`{field}` is `{path}`, but must be a path below {folder}, like `data/items.json`, without `..`"
    )]
    Path {
        /// The field.
        field: &'static str,
        /// What it is.
        path: String,
        /// What it must be below.
        folder: &'static str,
    },
}

impl Input {
    /// The one source that it names.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] for each way in which it contradicts itself.
    pub fn source(&self) -> Result<Source, RequestError> {
        let is_lines = self.file.is_some() && self.format == Some(Format::Lines);
        if self.on_error == OnError::Skip && (!is_lines || self.slurp) {
            return Err(RequestError::NoLines);
        }
        match (&self.input, &self.file) {
            (Value::Null, Some(file)) => {
                let path = check_path("file", file, IN)?;
                Ok(Source::File { path, format: self.format.unwrap_or_default() })
            }
            (_, Some(_)) => Err(RequestError::TwoSources),
            (_, None) if self.format.is_some() => Err(RequestError::FormatWithoutFile),
            (input, None) => Ok(Source::Value(input.clone())),
        }
    }

    /// The one target that it names.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] for each way in which it contradicts itself.
    pub fn target(&self) -> Result<Target, RequestError> {
        match (&self.output_file, self.raw_output, self.collect) {
            (Some(_), _, true) => Err(RequestError::TwoTargets("output_file")),
            (None, true, true) => Err(RequestError::TwoTargets("raw_output")),
            (Some(file), is_raw, false) => {
                Ok(Target::File { path: check_path("output_file", file, OUT)?, is_raw })
            }
            (None, true, false) => Ok(Target::Text),
            (None, false, true) => Ok(Target::All),
            (None, false, false) => Ok(Target::One),
        }
    }
}

/// The path of a file from its folder. It may be written with the folder as well, as the host writes
/// the path of an uploaded file.
fn check_path(
    field: &'static str,
    file: &str,
    folder: &'static str,
) -> Result<PathBuf, RequestError> {
    let path = Path::new(file);
    let below = path.strip_prefix(folder).unwrap_or(path);
    let mut components = below.components();
    let is_below = components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if is_below && below.file_name().is_some() {
        return Ok(below.to_owned());
    }
    Err(RequestError::Path { field, path: file.to_owned(), folder })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(input: Value) -> Input {
        serde_json::from_value(input).unwrap()
    }

    fn source(value: Value) -> Result<Source, RequestError> {
        input(value).source()
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
        let target = input(json!({ "filter": ".", "output_file": "/out/a" })).target();
        assert_eq!(target, Ok(Target::File { path: "a".into(), is_raw: false }));
    }

    #[test]
    fn a_filter_has_one_source() {
        let input = json!({ "filter": ".", "file": "a", "input": 0 });
        assert_eq!(source(input), Err(RequestError::TwoSources));
        let input = json!({ "filter": ".", "format": "text", "input": "a" });
        assert_eq!(source(input), Err(RequestError::FormatWithoutFile));
    }

    #[test]
    fn only_lines_can_be_skipped() {
        for fields in [json!({}), json!({ "file": "a" }), json!({ "file": "a", "slurp": true })] {
            let mut value = json!({ "filter": ".", "on_error": "skip" });
            value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            assert_eq!(source(value), Err(RequestError::NoLines));
        }
    }

    #[test]
    fn a_filter_has_one_target() {
        let target = |fields: Value| {
            let mut value = json!({ "filter": "." });
            value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            input(value).target()
        };
        assert_eq!(target(json!({})), Ok(Target::One));
        assert_eq!(target(json!({ "collect": true })), Ok(Target::All));
        assert_eq!(target(json!({ "raw_output": true })), Ok(Target::Text));
        let raw = target(json!({ "raw_output": true, "output_file": "a.txt" }));
        assert_eq!(raw, Ok(Target::File { path: "a.txt".into(), is_raw: true }));
        for other in ["raw_output", "output_file"] {
            let value = if other == "raw_output" { json!(true) } else { json!("a") };
            let two = target(json!({ "collect": true, other: value }));
            assert_eq!(two, Err(RequestError::TwoTargets(other)));
        }
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
            let refused = RequestError::Path { field: "file", path: path.to_owned(), folder: IN };
            assert_eq!(found, Err(refused));
            assert!(input(json!({ "filter": ".", "output_file": path })).target().is_err());
        }
    }
}
