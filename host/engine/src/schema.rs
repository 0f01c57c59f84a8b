//! Checks inputs and outputs against the JSON Schemas of their executor.

use apflow_model::reference;
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::error::EngineError;

/// What is wrong with a value: where, as a JSON pointer, and what.
pub(crate) type Violation = (String, String);

/// Makes a schema ready for use.
///
/// # Errors
///
/// [`EngineError::InvalidSchema`] when it is none, or names another document: nothing is fetched.
pub(crate) fn compile(
    plugin: &str,
    which: &'static str,
    schema: &Value,
) -> Result<Validator, EngineError> {
    jsonschema::validator_for(schema).map_err(|error| EngineError::InvalidSchema {
        plugin: plugin.to_owned(),
        which,
        reason: error.to_string(),
    })
}

/// The first violation of a schema.
pub(crate) fn violation(schema: &Validator, value: &Value) -> Option<Violation> {
    first(schema, value, |_, _| true)
}

/// The first violation that is certain before the references in `inputs` are resolved.
///
/// Whatever a `$from` stands for is not known yet, so what the schema says at its place is left for
/// later; so is a choice (`anyOf`, `oneOf`) above it, since its outcome hangs on that place.
pub(crate) fn certain_violation(schema: &Validator, inputs: &Value) -> Option<Violation> {
    let unknown: Vec<String> =
        reference::find(inputs).unwrap_or_default().into_iter().map(|found| found.at).collect();
    first(schema, inputs, |at, kind| {
        let is_choice = matches!(
            kind,
            ValidationErrorKind::AnyOf { .. }
                | ValidationErrorKind::OneOfNotValid { .. }
                | ValidationErrorKind::OneOfMultipleValid { .. }
        );
        let is_unknown = unknown.iter().any(|place| is_at_or_below(at, place));
        let hangs_on_unknown = is_choice && unknown.iter().any(|place| is_at_or_below(place, at));
        !is_unknown && !hangs_on_unknown
    })
}

fn first(
    schema: &Validator,
    value: &Value,
    is_certain: impl Fn(&str, &ValidationErrorKind) -> bool,
) -> Option<Violation> {
    schema
        .iter_errors(value)
        .find(|error| is_certain(error.instance_path().as_str(), error.kind()))
        .map(|error| (error.instance_path().as_str().to_owned(), error.to_string()))
}

fn is_at_or_below(pointer: &str, place: &str) -> bool {
    pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Validator {
        let schema = json!({
            "type": "object",
            "required": ["url"],
            "additionalProperties": false,
            "properties": {
                "url": { "type": "string" },
                "body": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "integer" } }] },
            },
        });
        compile("test", "input", &schema).unwrap()
    }

    #[test]
    fn what_a_reference_stands_for_is_judged_later() {
        let from = json!({ "$from": "other" });
        assert_eq!(certain_violation(&schema(), &json!({ "url": from })), None);
        assert_eq!(certain_violation(&schema(), &json!({ "url": "x", "body": [1, from] })), None);
        assert!(violation(&schema(), &json!({ "url": from })).is_some());
    }

    #[test]
    fn what_is_certainly_wrong_is_found_beside_a_reference() {
        let inputs = json!({ "body": { "$from": "other" } });
        assert_eq!(certain_violation(&schema(), &inputs).unwrap().0, "");
        let inputs = json!({ "url": 7, "body": { "$from": "other" } });
        assert_eq!(certain_violation(&schema(), &inputs).unwrap().0, "/url");
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        assert!(compile("test", "input", &json!({ "type": "nonsense" })).is_err());
    }
}
