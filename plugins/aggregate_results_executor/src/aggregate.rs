//! The seven ways to make one value of many.
//!
//! It does not say which results a task needs: [`crate::join`] does, before it calls this.

use std::collections::BTreeMap;

use apflow_sdk::{JsonSchema, schemars};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// How the results become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// An object that holds every result under its name.
    #[default]
    Collect,
    /// One object of all objects: a later one adds to and overwrites an earlier one, at every depth.
    Merge,
    /// One array with the elements of all arrays.
    Concat,
    /// The sum of all numbers, or of objects of numbers key by key. Integers stay integers.
    Sum,
    /// How many results there are.
    Count,
    /// The first result.
    First,
    /// The value that occurs most often. Of equally frequent ones the first.
    Majority,
}

/// A result does not suit the strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// A result has the wrong type.
    #[error("`{strategy}` needs every result to be {expected}, but `{at}` is {found}")]
    WrongType {
        /// The strategy, as it is written in the input.
        strategy: &'static str,
        /// What the strategy takes.
        expected: &'static str,
        /// The result, with the key inside it where there is one: `name.key`.
        at: String,
        /// What was found there.
        found: &'static str,
    },
    /// The sum is no longer a number that JSON readers understand.
    #[error("the sum of {what} is too large: {sum} is outside the range of 64-bit integers")]
    IntegerOverflow {
        /// What was added up.
        what: String,
        /// The sum.
        sum: i128,
    },
    /// The sum of fractions is infinite.
    #[error("the sum of {what} is too large for a 64-bit floating point number")]
    FloatOverflow {
        /// What was added up.
        what: String,
    },
}

/// Makes one value of `results`, which are in order and hold no missing one.
///
/// # Errors
///
/// [`AggregateError::WrongType`] when a result does not suit the strategy, and the overflows when
/// a sum is too large.
pub fn aggregate(
    strategy: Strategy,
    results: BTreeMap<String, Value>,
) -> Result<Value, AggregateError> {
    Ok(match strategy {
        Strategy::Collect => Value::Object(results.into_iter().collect()),
        Strategy::Merge => merge(results)?,
        Strategy::Concat => concat(results)?,
        Strategy::Sum => sum(results)?,
        Strategy::Count => Value::from(results.len()),
        Strategy::First => results.into_values().next().unwrap_or_default(),
        Strategy::Majority => majority(results),
    })
}

fn merge(results: BTreeMap<String, Value>) -> Result<Value, AggregateError> {
    let mut merged = Map::new();
    for (name, value) in results {
        let Value::Object(object) = value else {
            return Err(wrong_type("merge", "an object", name, &value));
        };
        merge_into(&mut merged, object);
    }
    Ok(Value::Object(merged))
}

/// As deep as the values are nested, which the reader of the input has limited.
fn merge_into(target: &mut Map<String, Value>, source: Map<String, Value>) {
    for (key, value) in source {
        match (target.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(object)) => merge_into(inner, object),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}

fn concat(results: BTreeMap<String, Value>) -> Result<Value, AggregateError> {
    let mut all = Vec::new();
    for (name, value) in results {
        let Value::Array(mut elements) = value else {
            return Err(wrong_type("concat", "an array", name, &value));
        };
        all.append(&mut elements);
    }
    Ok(Value::Array(all))
}

fn sum(results: BTreeMap<String, Value>) -> Result<Value, AggregateError> {
    if results.values().next().is_some_and(Value::is_object) {
        return sum_objects(results);
    }
    let mut total = Sum::default();
    for (name, value) in results {
        let Value::Number(number) = &value else {
            return Err(wrong_type("sum", "a number like the first", name, &value));
        };
        total.add(number);
    }
    total.finish("the results")
}

fn sum_objects(results: BTreeMap<String, Value>) -> Result<Value, AggregateError> {
    const EXPECTED: &str = "an object of numbers like the first";
    let mut totals = BTreeMap::<String, Sum>::new();
    for (name, value) in results {
        let Value::Object(object) = value else {
            return Err(wrong_type("sum", EXPECTED, name, &value));
        };
        for (key, value) in object {
            let Value::Number(number) = &value else {
                return Err(wrong_type("sum", EXPECTED, format!("{name}.{key}"), &value));
            };
            totals.entry(key).or_default().add(number);
        }
    }
    let finish = |(key, total): (String, Sum)| {
        let sum = total.finish(&format!("`{key}`"))?;
        Ok((key, sum))
    };
    totals.into_iter().map(finish).collect::<Result<_, _>>().map(Value::Object)
}

/// A sum that stays exact while only integers are added.
#[derive(Default)]
struct Sum {
    /// The integers. 128 bits hold the sum of more 64-bit integers than memory does.
    integer: i128,
    /// The fractions, if there were any.
    float: Option<f64>,
}

impl Sum {
    fn add(&mut self, number: &Number) {
        let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
        match integer {
            Some(integer) => self.integer += integer,
            None => *self.float.get_or_insert(0.0) += number.as_f64().unwrap_or(f64::NAN),
        }
    }

    fn finish(self, what: &str) -> Result<Value, AggregateError> {
        if let Some(float) = self.float {
            #[expect(clippy::cast_precision_loss, reason = "a sum with a fraction is not exact")]
            let total = float + self.integer as f64;
            return Number::from_f64(total)
                .map(Value::Number)
                .ok_or_else(|| AggregateError::FloatOverflow { what: what.to_owned() });
        }
        Number::from_i128(self.integer).map(Value::Number).ok_or_else(|| {
            AggregateError::IntegerOverflow { what: what.to_owned(), sum: self.integer }
        })
    }
}

/// Compares values by their JSON text, in which keys are sorted: `1` and `1.0` are two values.
fn majority(results: BTreeMap<String, Value>) -> Value {
    let mut counts = BTreeMap::<String, usize>::new();
    for value in results.values() {
        *counts.entry(value.to_string()).or_default() += 1;
    }
    let mut winner = (0, Value::Null);
    for value in results.into_values() {
        let count = counts.get(&value.to_string()).copied().unwrap_or_default();
        if count > winner.0 {
            winner = (count, value);
        }
    }
    winner.1
}

fn wrong_type(
    strategy: &'static str,
    expected: &'static str,
    at: String,
    value: &Value,
) -> AggregateError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    AggregateError::WrongType { strategy, expected, at, found }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(strategy: Strategy, results: Value) -> Result<Value, AggregateError> {
        aggregate(strategy, serde_json::from_value(results).unwrap())
    }

    fn refusal(strategy: Strategy, results: Value) -> String {
        run(strategy, results).unwrap_err().to_string()
    }

    #[test]
    fn collect_keeps_every_result_under_its_name() {
        let results = json!({ "b": [1], "a": "x" });
        assert_eq!(run(Strategy::Collect, results.clone()), Ok(results));
    }

    #[test]
    fn merge_goes_into_objects_and_lets_the_later_name_win() {
        let results = json!({
            "b": { "x": { "two": 2 }, "y": [2] },
            "a": { "x": { "one": 1 }, "y": [1], "z": 1 },
        });
        let merged = json!({ "x": { "one": 1, "two": 2 }, "y": [2], "z": 1 });
        assert_eq!(run(Strategy::Merge, results), Ok(merged));
    }

    #[test]
    fn merge_names_the_result_that_is_no_object() {
        assert_eq!(
            refusal(Strategy::Merge, json!({ "a": {}, "b": [] })),
            "`merge` needs every result to be an object, but `b` is an array"
        );
    }

    #[test]
    fn concat_appends_arrays_in_order() {
        let results = json!({ "b": [3], "a": [1, [2]], "c": [] });
        assert_eq!(run(Strategy::Concat, results), Ok(json!([1, [2], 3])));
        assert!(refusal(Strategy::Concat, json!({ "a": "x" })).contains("`a` is a string"));
    }

    #[test]
    fn a_sum_of_integers_is_an_integer() {
        assert_eq!(run(Strategy::Sum, json!({ "a": 1, "b": -3 })), Ok(json!(-2)));
        let largest = json!({ "a": u64::MAX, "b": -1, "c": 1 });
        assert_eq!(run(Strategy::Sum, largest), Ok(json!(u64::MAX)));
        assert_eq!(run(Strategy::Sum, json!({ "a": 1, "b": 0.5 })), Ok(json!(1.5)));
    }

    #[test]
    fn a_sum_that_overflows_is_refused() {
        let message = refusal(Strategy::Sum, json!({ "a": u64::MAX, "b": 1 }));
        assert!(message.contains("18446744073709551616"), "{message}");
        let message = refusal(Strategy::Sum, json!({ "a": { "n": 1e308 }, "b": { "n": 1e308 } }));
        assert!(message.contains("sum of `n` is too large"), "{message}");
    }

    #[test]
    fn objects_are_summed_key_by_key() {
        let results = json!({ "a": { "x": 1, "y": 2 }, "b": { "x": 3 } });
        assert_eq!(run(Strategy::Sum, results), Ok(json!({ "x": 4, "y": 2 })));
        let message = refusal(Strategy::Sum, json!({ "a": { "x": 1 }, "b": { "x": "1" } }));
        assert!(message.contains("`b.x` is a string"), "{message}");
        assert!(refusal(Strategy::Sum, json!({ "a": 1, "b": {} })).contains("`b` is an object"));
    }

    #[test]
    fn count_and_first_take_any_value() {
        let results = json!({ "b": 2, "a": [1] });
        assert_eq!(run(Strategy::Count, results.clone()), Ok(json!(2)));
        assert_eq!(run(Strategy::First, results), Ok(json!([1])));
    }

    #[test]
    fn the_majority_of_a_tie_is_the_first_seen() {
        let most = json!({ "a": 1, "b": { "x": 1, "y": 2 }, "c": { "y": 2, "x": 1 } });
        assert_eq!(run(Strategy::Majority, most), Ok(json!({ "x": 1, "y": 2 })));
        assert_eq!(run(Strategy::Majority, json!({ "b": 1, "a": 2 })), Ok(json!(2)));
    }

    #[test]
    fn no_results_have_an_empty_aggregate() {
        let empty = |strategy| run(strategy, json!({})).unwrap();
        assert_eq!(empty(Strategy::Collect), json!({}));
        assert_eq!(empty(Strategy::Merge), json!({}));
        assert_eq!(empty(Strategy::Concat), json!([]));
        assert_eq!(empty(Strategy::Sum), json!(0));
        assert_eq!(empty(Strategy::Count), json!(0));
        assert_eq!(empty(Strategy::First), Value::Null);
        assert_eq!(empty(Strategy::Majority), Value::Null);
    }
}
