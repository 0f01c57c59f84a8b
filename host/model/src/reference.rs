//! `{"$from": TASK, "pointer": POINTER}`: a dependency's output inside a task's inputs.
//!
//! It looks nothing up by itself: outputs are passed in.

use serde_json::{Map, Value};

/// The key that makes an object a reference.
const FROM: &str = "$from";

/// A reference found in inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where in the inputs it stands, as a JSON pointer (RFC 6901).
    pub at: String,
    /// The task it names, by the caller's reference.
    pub task: String,
    /// Which part of that task's output, as a JSON pointer. Empty for all of it.
    pub pointer: String,
}

/// A reference that cannot be read or followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct ReferenceFault {
    /// Where in the inputs it stands, as a JSON pointer.
    pub at: String,
    reason: String,
}

/// Finds every reference in `inputs`.
///
/// # Errors
///
/// The first object with a `$from` that is not a well-formed reference.
pub fn find(inputs: &Value) -> Result<Vec<Reference>, ReferenceFault> {
    let mut found = Vec::new();
    visit(inputs, "", &mut found)?;
    Ok(found)
}

/// Replaces every reference by what it stands for.
///
/// `output` gives the output of a task by its reference; null for a task that did not complete.
///
/// # Errors
///
/// A pointer that finds nothing in the output.
pub fn resolve(
    inputs: Value,
    output: &impl Fn(&str) -> Option<Value>,
) -> Result<Value, ReferenceFault> {
    resolve_at(inputs, "", output)
}

fn visit(value: &Value, at: &str, found: &mut Vec<Reference>) -> Result<(), ReferenceFault> {
    match value {
        Value::Object(map) => match read(map, at)? {
            Some(reference) => found.push(reference),
            None => map.iter().try_for_each(|(key, value)| visit(value, &below(at, key), found))?,
        },
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| visit(value, &format!("{at}/{index}"), found))?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

fn read(map: &Map<String, Value>, at: &str) -> Result<Option<Reference>, ReferenceFault> {
    let fault = |reason: &str| ReferenceFault { at: at.to_owned(), reason: reason.to_owned() };
    let Some(task) = map.get(FROM) else { return Ok(None) };
    let task = task.as_str().ok_or_else(|| fault("`$from` must name a task"))?;
    let pointer = match map.get("pointer") {
        None => "",
        Some(Value::String(pointer)) if pointer.is_empty() || pointer.starts_with('/') => pointer,
        Some(_) => return Err(fault("`pointer` must be a JSON pointer, like `/json/items`")),
    };
    if let Some(key) = map.keys().find(|key| *key != FROM && *key != "pointer") {
        return Err(fault(&format!("`{key}` does not belong beside `$from`: only `pointer` does")));
    }
    let (at, task, pointer) = (at.to_owned(), task.to_owned(), pointer.to_owned());
    Ok(Some(Reference { at, task, pointer }))
}

fn resolve_at(
    value: Value,
    at: &str,
    output: &impl Fn(&str) -> Option<Value>,
) -> Result<Value, ReferenceFault> {
    match value {
        Value::Object(map) => match read(&map, at)? {
            Some(reference) => follow(&reference, output),
            None => map
                .into_iter()
                .map(|(key, value)| Ok((key.clone(), resolve_at(value, &below(at, &key), output)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        },
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, value)| resolve_at(value, &format!("{at}/{index}"), output))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value),
    }
}

fn follow(
    reference: &Reference,
    output: &impl Fn(&str) -> Option<Value>,
) -> Result<Value, ReferenceFault> {
    // An optional dependency that did not complete is null as a whole, whatever the pointer.
    let Some(whole) = output(&reference.task) else { return Ok(Value::Null) };
    whole.pointer(&reference.pointer).cloned().ok_or_else(|| ReferenceFault {
        at: reference.at.clone(),
        reason: format!(
            "the output of `{}` has nothing at `{}`",
            reference.task, reference.pointer
        ),
    })
}

/// The pointer of a key below `at`, escaped as RFC 6901 says.
fn below(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs(task: &str) -> Option<Value> {
        (task == "fetch").then(|| json!({"json": [{"a/b": 7}]}))
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        let inputs =
            json!({"list": [1, {"$from": "fetch"}], "a/b": {"$from": "x", "pointer": "/y"}});
        let mut found = find(&inputs).unwrap();
        found.sort_by(|left, right| left.at.cmp(&right.at));
        assert_eq!((found[0].at.as_str(), found[0].task.as_str()), ("/a~1b", "x"));
        assert_eq!((found[1].at.as_str(), found[1].pointer.as_str()), ("/list/1", ""));
    }

    #[test]
    fn a_reference_is_replaced_by_what_it_points_at() {
        let inputs = json!({"n": {"$from": "fetch", "pointer": "/json/0/a~1b"}, "keep": true});
        assert_eq!(resolve(inputs, &outputs).unwrap(), json!({"n": 7, "keep": true}));
    }

    #[test]
    fn a_pointer_that_finds_nothing_says_where_and_what() {
        let inputs = json!({"n": {"$from": "fetch", "pointer": "/text"}});
        let fault = resolve(inputs, &outputs).unwrap_err();
        assert_eq!(fault.to_string(), "/n: the output of `fetch` has nothing at `/text`");
    }

    #[test]
    fn a_task_that_did_not_complete_is_null() {
        let inputs = json!({"n": {"$from": "optional", "pointer": "/text"}});
        assert_eq!(resolve(inputs, &outputs).unwrap(), json!({"n": null}));
    }

    #[test]
    fn a_malformed_reference_is_refused() {
        for inputs in [
            json!({"$from": 3}),
            json!({"$from": "a", "pointer": "x"}),
            json!({"$from": "a", "point": "/x"}),
        ] {
            assert!(find(&inputs).is_err(), "{inputs}");
        }
    }
}
