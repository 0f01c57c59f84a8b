//! First-party plugin `transform_executor`: reshapes JSON with the jq language.
//!
//! This file only binds the other files to the host; it decides nothing.

pub mod filter;
mod natives;
mod place;
mod reach;
pub mod request;
pub mod source;
pub mod value;

use std::path::Path;

use apflow_sdk::{Fault, log};
use serde_json::Value;

use crate::filter::{Filter, FilterError};
use crate::request::{FOLDER, Input, RequestError, Source};
use crate::source::SourceError;

/// Reshapes JSON, or a file of a granted folder, with a filter in the jq language.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when the input contradicts itself, the filter is none or fails, and
/// [`Fault::Permanent`] when the file cannot be read.
#[apflow_sdk::executor(
    id = "transform_executor",
    name = "Transform",
    tags = ["json", "jq", "transform", "filter"]
)]
pub fn transform(input: Input) -> Result<Value, Fault> {
    let Input { filter, input, file, format, variables, collect } = input;
    let source = Source::new(input, file, format)?;
    let filter = Filter::compile(&filter, variables)?;
    let value = source.read(Path::new(FOLDER))?;
    let debug = |line: &str| log::debug(line);
    Ok(if collect {
        Value::Array(filter.all(value, &debug)?)
    } else {
        filter.one(value, &debug)?
    })
}

impl From<RequestError> for Fault {
    fn from(error: RequestError) -> Self {
        Self::invalid_input(error.to_string())
    }
}

impl From<FilterError> for Fault {
    fn from(error: FilterError) -> Self {
        Self::invalid_input(error.to_string())
    }
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        let message = error.to_string();
        match error {
            SourceError::Malformed { .. } => Self::invalid_input(message),
            SourceError::NoFolder { .. }
            | SourceError::Unreadable { .. }
            | SourceError::TooLarge { .. } => Self::permanent(message),
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
        assert_eq!(properties.len(), 6);
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{name}: {property}");
        }
        assert_eq!(output_schema::<Value>().get("type"), None);
    }
}
