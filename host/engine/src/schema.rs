//! Checks inputs and outputs against the JSON Schemas of their executor.

use apflow_model::{file, reference};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::cost;
use crate::error::EngineError;

/// The longest violation that repeats the value it is about.
const TEXT_BYTES_MAX: usize = 500;

/// What is wrong with a value: where, as a JSON pointer, and what.
pub(crate) type Violation = (String, String);

/// Makes a schema ready for use.
///
/// # Errors
///
/// [`EngineError::InvalidSchema`] when it is none, could cost too much, or names another document:
/// nothing is fetched.
pub(crate) fn compile(
    plugin: &str,
    which: &'static str,
    schema: &Value,
) -> Result<Validator, EngineError> {
    // Patterns come from plugins: the engine that never backtracks cannot be made slow by one.
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    let checked = cost::check(schema);
    let built = checked.and_then(|()| options.build(schema).map_err(|error| error.to_string()));
    built.map_err(|reason| EngineError::InvalidSchema { plugin: plugin.to_owned(), which, reason })
}

/// The first violation of a schema.
pub(crate) fn violation(schema: &Validator, value: &Value) -> Option<Violation> {
    first(schema, value, |_| true)
}

/// The first violation that is certain before the references in `inputs` are resolved.
///
/// Whatever a `$from` or a `$file` stands for is not known yet, so what the schema says at its place is left for
/// later. Of what it says above that place, only what no value there can change is certain.
pub(crate) fn certain_violation(schema: &Validator, inputs: &Value) -> Option<Violation> {
    let outputs = reference::find(inputs).unwrap_or_default().into_iter().map(|found| found.at);
    let files = file::find(inputs).unwrap_or_default().into_iter().map(|found| found.at);
    let unknown: Vec<String> = outputs.chain(files).collect();
    first(schema, inputs, |error| {
        let at = error.instance_path().as_str();
        if unknown.iter().any(|place| is_at_or_below(at, place)) {
            return false;
        }
        !unknown.iter().any(|place| is_at_or_below(place, at)) || is_certain_above(error)
    })
}

/// Whether a violation above an unknown value holds whatever that value is: it is about the shape
/// of its own level, and no condition or choice led to it.
fn is_certain_above(error: &ValidationError<'_>) -> bool {
    const OPEN: [&str; 5] = ["then", "else", "anyOf", "oneOf", "not"];
    let is_shape = matches!(
        error.kind(),
        ValidationErrorKind::Type { .. }
            | ValidationErrorKind::Required { .. }
            | ValidationErrorKind::AdditionalProperties { .. }
            | ValidationErrorKind::MinProperties { .. }
            | ValidationErrorKind::MaxProperties { .. }
            | ValidationErrorKind::MinItems { .. }
            | ValidationErrorKind::MaxItems { .. }
    );
    is_shape && !error.schema_path().as_str().split('/').any(|step| OPEN.contains(&step))
}

fn first(
    schema: &Validator,
    value: &Value,
    is_certain: impl Fn(&ValidationError<'_>) -> bool,
) -> Option<Violation> {
    let error = schema.iter_errors(value).find(is_certain)?;
    let text = error.to_string();
    // The text repeats the value, which can be large.
    let text = if text.len() > TEXT_BYTES_MAX { error.masked().to_string() } else { text };
    Some((error.instance_path().as_str().to_owned(), text))
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
    fn a_condition_that_hangs_on_a_reference_is_judged_later() {
        let schema = json!({
            "if": { "properties": { "kind": { "const": "a" } } },
            "then": { "required": ["x"] },
            "else": { "required": ["y"] },
        });
        let schema = compile("test", "input", &schema).unwrap();
        let inputs = json!({ "kind": { "$from": "other" }, "x": 1 });
        assert_eq!(certain_violation(&schema, &inputs), None);
    }

    #[test]
    fn a_violation_does_not_repeat_a_large_value() {
        let schema = compile("test", "input", &json!({ "type": "object" })).unwrap();
        let (_, text) = violation(&schema, &json!("x".repeat(10_000))).unwrap();
        assert!(text.len() < 500, "{}", text.len());
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        assert!(compile("test", "input", &json!({ "type": "nonsense" })).is_err());
    }
}
