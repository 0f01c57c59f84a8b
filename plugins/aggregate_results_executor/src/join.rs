//! Which results are there, which are missing, and what they make together.
//!
//! It does not combine values itself: [`crate::aggregate`] does.

use std::collections::BTreeMap;

use apflow_sdk::{JsonSchema, schemars};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aggregate::{AggregateError, Strategy, aggregate};

/// What to join, and how.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// How the results become one value.
    #[serde(default)]
    pub strategy: Strategy,
    /// The results by name. Usually each is `{"$from": TASK}`, which the host replaces by that
    /// task's output. `null` is a missing result, for example of an optional dependency that
    /// failed. Their order is the order of their names, whatever the order they are written in.
    pub results: BTreeMap<String, Value>,
    /// The names that must not be missing. If one is, the task fails for good.
    #[serde(default)]
    pub required: Vec<String>,
}

/// The joined results.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// The strategy that was used.
    pub strategy: Strategy,
    /// The one value.
    pub result: Value,
    /// The names of the results that went into it, in order.
    pub present: Vec<String>,
    /// The names of the results that were missing, in order.
    pub missing: Vec<String>,
}

/// The results cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Required results are missing.
    #[error("required results are missing: `{}`; their tasks did not complete, or have no output", .0.join("`, `"))]
    Missing(Vec<String>),
    /// The results do not suit the strategy.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

/// Joins the results that are there.
///
/// # Errors
///
/// [`JoinError::Missing`] when a required result is null or not named in `results` at all, and
/// [`JoinError::Aggregate`] when the strategy does not take what is there.
pub fn join(input: Input) -> Result<Output, JoinError> {
    let Input { strategy, mut results, mut required } = input;
    required.retain(|name| results.get(name).is_none_or(Value::is_null));
    if !required.is_empty() {
        return Err(JoinError::Missing(required));
    }
    let missing: Vec<String> =
        results.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect();
    results.retain(|_, value| !value.is_null());
    let present = results.keys().cloned().collect();
    Ok(Output { strategy, result: aggregate(strategy, results)?, present, missing })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(input: Value) -> Result<Value, String> {
        let input = serde_json::from_value(input).unwrap();
        join(input).map(|output| json!(output)).map_err(|error| error.to_string())
    }

    #[test]
    fn null_is_a_missing_result_and_takes_no_part() {
        let output = run(json!({ "strategy": "sum", "results": { "b": 2, "c": null, "a": 1 } }));
        let expected =
            json!({ "strategy": "sum", "result": 3, "present": ["a", "b"], "missing": ["c"] });
        assert_eq!(output, Ok(expected));
    }

    #[test]
    fn collect_is_the_strategy_when_none_is_named() {
        let output = run(json!({ "results": { "a": 1, "b": null } })).unwrap();
        assert_eq!(
            (&output["strategy"], &output["result"]),
            (&json!("collect"), &json!({ "a": 1 }))
        );
    }

    #[test]
    fn every_missing_required_result_is_named() {
        let input = json!({ "results": { "a": 1, "b": null }, "required": ["a", "b", "c"] });
        let message = run(input).unwrap_err();
        assert!(message.starts_with("required results are missing: `b`, `c`;"), "{message}");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let input = json!({ "results": {}, "stratgy": "sum" });
        assert!(serde_json::from_value::<Input>(input).is_err());
    }
}
