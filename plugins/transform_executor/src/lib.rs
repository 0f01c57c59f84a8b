//! First-party plugin `transform_executor`: reshapes JSON with the jq language.
//!
//! This file only binds the other files to the host; it decides nothing.

mod files;
pub mod filter;
pub mod lines;
mod natives;
mod place;
mod reach;
pub mod request;
pub mod run;
pub mod source;
pub mod target;
pub mod value;

use std::path::Path;

use apflow_sdk::{Fault, log};
use serde_json::Value;

use crate::request::{IN, Input, OUT};
use crate::run::{Folders, RunError};
use crate::source::SourceError;
use crate::target::TargetError;

/// Reshapes JSON, or a file of any number of JSON lines, with a filter in the jq language.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when the input contradicts itself, the filter is none or fails, or a line
/// is no JSON, and [`Fault::Permanent`] when a file cannot be read or written.
#[apflow_sdk::executor(
    id = "transform_executor",
    name = "Transform",
    tags = ["json", "jq", "transform", "filter"]
)]
pub fn transform(input: Input) -> Result<Value, Fault> {
    let folders = Folders { input: Path::new(IN), output: Path::new(OUT) };
    let (output, tally) = run::run(input, &folders, &|line: &str| log::debug(line))?;
    for line in tally.told() {
        log::warn(format!("line {} was skipped: {}", line.line, line.message));
    }
    if tally.skipped() > 0 {
        log::warn(format!("{} lines were skipped", tally.skipped()));
    }
    Ok(output)
}

impl From<RunError> for Fault {
    fn from(error: RunError) -> Self {
        let message = error.to_string();
        match error {
            RunError::Source(
                SourceError::NoFolder { .. }
                | SourceError::Unreadable { .. }
                | SourceError::TooLarge { .. },
            )
            | RunError::Target(TargetError::Unwritable { .. }) => Self::permanent(message),
            RunError::Source(SourceError::Malformed { .. })
            | RunError::Request(_)
            | RunError::Filter(_)
            | RunError::Line { .. }
            | RunError::Target(_) => Self::invalid_input(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::{Host, input_schema, output_schema};
    use serde_json::json;

    use super::*;

    fn run(host: &Host, input: Value) -> Result<Value, Fault> {
        host.run(transform, input).map(|outcome| outcome.output)
    }

    #[test]
    fn a_value_is_reshaped() {
        let input = json!({
            "filter": "map(select(. > $least)) | length",
            "input": [1, 5, 9],
            "variables": { "least": 4 },
        });
        assert_eq!(run(&Host::new(), input), Ok(json!(2)));
        let input = json!({ "filter": ".[]", "input": [1, 5], "collect": true });
        assert_eq!(run(&Host::new(), input), Ok(json!([1, 5])));
    }

    #[test]
    fn a_filter_that_is_none_faults_the_input_with_its_place() {
        let fault = run(&Host::new(), json!({ "filter": "map(" })).unwrap_err();
        assert!(matches!(fault, Fault::InvalidInput(text) if text.contains("line 1, column 5")));
    }

    #[test]
    fn a_file_without_a_granted_folder_names_the_grant() {
        let fault = run(&Host::new(), json!({ "filter": ".", "file": "README.md" })).unwrap_err();
        let Fault::Permanent(text) = fault else { panic!("{fault:?}") };
        assert!(text.starts_with("/in/README.md cannot be read: "), "{text}");
        assert!(text.ends_with("grant a folder with `--grant fs.in=PATH`"), "{text}");
    }

    #[test]
    fn debug_goes_to_the_log_of_the_task() {
        let host = Host::new();
        assert_eq!(run(&host, json!({ "filter": "debug", "input": 7 })), Ok(json!(7)));
        assert_eq!(host.lines()[0].message, "7");
    }

    #[test]
    fn the_schemas_describe_every_field_and_promise_any_output() {
        let schema = input_schema::<Input>();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 12);
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{name}: {property}");
        }
        assert_eq!(output_schema::<Value>().get("type"), None);
    }
}
