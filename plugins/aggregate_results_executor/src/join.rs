//! Which results are there, which are missing and why, and what they make together.
//!
//! It does not combine values itself: [`crate::aggregate`] does.

use std::collections::BTreeMap;
use std::fmt;

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
    #[serde(default)]
    pub results: BTreeMap<String, Value>,
    /// More results by name, each with what became of its task: `{"$from": TASK, "outcome": true}`.
    /// Of one that is missing the output says why. They are in one order with `results`.
    #[serde(default)]
    pub outcomes: BTreeMap<String, Outcome>,
    /// The names that must not be missing. If one is, the task fails for good.
    #[serde(default)]
    pub required: Vec<String>,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// How it ended: `completed`, `failed`, `cancelled` or `skipped`.
    pub state: String,
    /// What it returned. `null` unless it completed.
    #[serde(default)]
    pub output: Value,
    /// Why it did not end well.
    #[serde(default)]
    pub fault: Option<OutcomeFault>,
}

/// Why a task did not end well.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct OutcomeFault {
    /// What kind of fault it is.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Some(OutcomeFault { code, message }) => {
                write!(formatter, "{}: {code}: {message}", self.state)
            }
            None if self.state == "completed" => formatter.write_str("its output is null"),
            None => formatter.write_str(&self.state),
        }
    }
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
    /// Why those of `outcomes` were missing, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, String>,
}

/// The results cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// A name that stands for two results.
    #[error("`{0}` is in `results` and in `outcomes`, but a name stands for one result")]
    Twice(String),
    /// Required results are missing. Holds each name, with the reason where it is known.
    #[error("required results are missing: {}; their tasks did not complete, or have no output", .0.join(", "))]
    Missing(Vec<String>),
    /// The results do not suit the strategy.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

/// Joins the results that are there.
///
/// # Errors
///
/// [`JoinError::Twice`] for a name in both fields, [`JoinError::Missing`] when a required result is
/// null or not named at all, and [`JoinError::Aggregate`] when the strategy does not take what is
/// there.
pub fn join(input: Input) -> Result<Output, JoinError> {
    let Input { strategy, mut results, outcomes, mut required } = input;
    let mut reasons = BTreeMap::new();
    for (name, outcome) in outcomes {
        if outcome.output.is_null() {
            reasons.insert(name.clone(), outcome.to_string());
        }
        if results.insert(name.clone(), outcome.output).is_some() {
            return Err(JoinError::Twice(name));
        }
    }
    required.retain(|name| results.get(name).is_none_or(Value::is_null));
    if !required.is_empty() {
        let explain = |name: String| match reasons.get(&name) {
            Some(reason) => format!("`{name}` ({reason})"),
            None => format!("`{name}`"),
        };
        return Err(JoinError::Missing(required.into_iter().map(explain).collect()));
    }
    let missing: Vec<String> =
        results.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect();
    results.retain(|_, value| !value.is_null());
    let present = results.keys().cloned().collect();
    Ok(Output { strategy, result: aggregate(strategy, results)?, present, missing, reasons })
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
    fn an_outcome_says_why_its_result_is_missing() {
        let fault = json!({ "code": "permanent", "message": "down", "retry_after_ms": 7 });
        let output = run(json!({ "strategy": "concat", "results": { "b": [2] }, "outcomes": {
            "c": { "state": "completed", "output": [3], "fault": null },
            "a": { "state": "failed", "output": null, "fault": fault },
            "d": { "state": "cancelled", "output": null, "fault": null },
            "e": { "state": "completed", "output": null, "fault": null },
        } }));
        let expected = json!({
            "strategy": "concat", "result": [2, 3], "present": ["b", "c"],
            "missing": ["a", "d", "e"],
            "reasons": { "a": "failed: permanent: down", "d": "cancelled",
                         "e": "its output is null" },
        });
        assert_eq!(output, Ok(expected));
    }

    #[test]
    fn a_name_stands_for_one_result() {
        let outcome = json!({ "state": "completed", "output": 1 });
        let input = json!({ "results": { "a": 1 }, "outcomes": { "a": outcome } });
        assert!(run(input).unwrap_err().starts_with("`a` is in `results` and in `outcomes`"));
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
        let outcome = json!({ "state": "skipped", "output": null });
        let input = json!({ "results": { "a": 1, "b": null }, "outcomes": { "d": outcome },
                            "required": ["a", "b", "c", "d"] });
        let message = run(input).unwrap_err();
        let start = "required results are missing: `b`, `c`, `d` (skipped);";
        assert!(message.starts_with(start), "{message}");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let input = json!({ "results": {}, "stratgy": "sum" });
        assert!(serde_json::from_value::<Input>(input).is_err());
    }
}
