//! First-party plugin `aggregate_results_executor`: joins the results of several tasks into one.
//!
//! This file only binds [`join`] to the host; it decides nothing.

pub mod aggregate;
pub mod join;

use apflow_sdk::Fault;

use crate::join::{Input, JoinError, Output};

/// Joins the results of several tasks into one: collects, merges, concatenates, sums or counts
/// them, or picks the first or the most frequent.
///
/// # Errors
///
/// [`Fault::Permanent`] when a required result is missing, and [`Fault::InvalidInput`] when a name
/// stands for two results, or a result does not suit the strategy.
#[apflow_sdk::executor(
    id = "aggregate_results_executor",
    name = "Aggregate results",
    tags = ["aggregate", "join", "results"]
)]
pub fn aggregate_results(input: Input) -> Result<Output, Fault> {
    Ok(join::join(input)?)
}

impl From<JoinError> for Fault {
    fn from(error: JoinError) -> Self {
        let message = error.to_string();
        match error {
            JoinError::Missing(_) => Self::permanent(message),
            JoinError::Twice(_) | JoinError::Aggregate(_) => Self::invalid_input(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::{Host, input_schema};
    use serde_json::{Value, json};

    use super::*;

    fn run(input: Value) -> Result<Value, Fault> {
        Host::new().run(aggregate_results, input).map(|outcome| outcome.output)
    }

    #[test]
    fn results_are_joined() {
        let output = run(json!({ "strategy": "concat", "results": { "a": [1], "b": [2] } }));
        assert_eq!(output.unwrap()["result"], json!([1, 2]));
    }

    #[test]
    fn a_missing_required_result_fails_for_good() {
        let fault = run(json!({ "results": { "a": null }, "required": ["a"] })).unwrap_err();
        assert!(matches!(fault, Fault::Permanent(text) if text.contains("`a`")));
    }

    #[test]
    fn a_result_of_the_wrong_type_faults_the_input() {
        let fault = run(json!({ "strategy": "sum", "results": { "a": "1" } })).unwrap_err();
        assert!(matches!(fault, Fault::InvalidInput(text) if text.contains("`a` is a string")));
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = input_schema::<Input>();
        for name in ["strategy", "results", "outcomes", "required"] {
            assert!(schema["properties"][name]["description"].is_string(), "{name}: {schema}");
        }
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
