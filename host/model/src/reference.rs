//! `{"$from": TASK, "pointer": POINTER}`: a dependency's output inside a task's inputs, or with
//! `"outcome": true` what became of the dependency.
//!
//! It looks nothing up by itself: outcomes are passed in.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::limit::Bytes;
use crate::pointer;
use crate::state::TaskState;

/// The most that all references of one task may stand for together, in bytes of JSON: 64 MiB. An
/// output counts once for every reference to it.
pub const INPUT_BYTES_MAX: u64 = 64 << 20;

/// The key that makes an object a reference.
pub(crate) const FROM: &str = "$from";

/// A reference found in inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where in the inputs it stands, as a JSON pointer (RFC 6901).
    pub at: String,
    /// The task it names, by the caller's reference.
    pub task: String,
    /// Which part of that task's output, as a JSON pointer. Empty for all of it.
    pub pointer: String,
    /// Whether it stands for what became of the task, of which that part is one field.
    pub is_outcome: bool,
}

/// What became of a dependency.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub state: TaskState,
    /// What it returned. None unless it completed.
    pub output: Option<Value>,
    /// Why it did not end well.
    pub fault: Option<Fault>,
}

/// A reference that cannot be read or followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct ReferenceFault {
    /// Where in the inputs it stands, as a JSON pointer.
    pub at: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Finds every reference in `inputs`.
///
/// # Errors
///
/// The first object with a `$from` that is not a well-formed reference.
pub fn find(inputs: &Value) -> Result<Vec<Reference>, ReferenceFault> {
    let mut found = Vec::new();
    collect(inputs, "", &read, &mut found)?;
    Ok(found)
}

/// Replaces every reference by what it stands for.
///
/// `outcome` tells of a dependency by its reference. One that did not complete has null as its output.
///
/// # Errors
///
/// A pointer that finds nothing in the output, and the first reference with which they stand for
/// more than [`INPUT_BYTES_MAX`] together.
pub fn resolve<'a>(
    inputs: Value,
    outcome: &impl Fn(&str) -> Option<&'a Outcome>,
) -> Result<Value, ReferenceFault> {
    Resolution { outcome, bytes_max: INPUT_BYTES_MAX, bytes_left: INPUT_BYTES_MAX }.at(inputs, "")
}

/// Collects what `read` makes of the objects in a value, each with its place, from the top down. One
/// that it makes something of is not entered.
pub(crate) fn collect<T>(
    value: &Value,
    at: &str,
    read: &impl Fn(&Map<String, Value>, &str) -> Result<Option<T>, ReferenceFault>,
    found: &mut Vec<T>,
) -> Result<(), ReferenceFault> {
    match value {
        Value::Object(map) => match read(map, at)? {
            Some(reference) => found.push(reference),
            None => map
                .iter()
                .try_for_each(|(key, value)| collect(value, &pointer::key(at, key), read, found))?,
        },
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, value)| {
            collect(value, &pointer::item(at, index), read, found)
        })?,
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
    let is_outcome = match map.get("outcome") {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        Some(_) => return Err(fault("`outcome` must be `true` or `false`")),
    };
    let is_known = |key: &String| [FROM, "pointer", "outcome"].contains(&key.as_str());
    if let Some(key) = map.keys().find(|key| !is_known(key)) {
        let known = "only `pointer` and `outcome` do";
        return Err(fault(&format!("`{key}` does not belong beside `$from`: {known}")));
    }
    let (at, task, pointer) = (at.to_owned(), task.to_owned(), pointer.to_owned());
    Ok(Some(Reference { at, task, pointer, is_outcome }))
}

/// What references are resolved with, and how much they may still stand for.
struct Resolution<'f, F> {
    outcome: &'f F,
    bytes_max: u64,
    bytes_left: u64,
}

impl<'a, F: Fn(&str) -> Option<&'a Outcome>> Resolution<'_, F> {
    /// Resolves what stands at a place of the inputs.
    fn at(&mut self, value: Value, at: &str) -> Result<Value, ReferenceFault> {
        match value {
            Value::Object(map) => match read(&map, at)? {
                Some(reference) => self.follow(&reference),
                None => map
                    .into_iter()
                    .map(|(key, value)| {
                        let value = self.at(value, &pointer::key(at, &key))?;
                        Ok((key, value))
                    })
                    .collect::<Result<Map<_, _>, _>>()
                    .map(Value::Object),
            },
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, value)| self.at(value, &pointer::item(at, index)))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value),
        }
    }

    fn follow(&mut self, reference: &Reference) -> Result<Value, ReferenceFault> {
        let Some(Outcome { state, output, fault }) = (self.outcome)(&reference.task) else {
            return Ok(Value::Null);
        };
        // What did not complete is null as a whole, whatever the pointer.
        let part = match output {
            Some(whole) => self.part(reference, whole)?,
            None => Value::Null,
        };
        if !reference.is_outcome {
            return Ok(part);
        }
        self.charge(reference, fault)?;
        Ok(json!({ "state": state, "output": part, "fault": fault }))
    }

    fn part(&mut self, reference: &Reference, whole: &Value) -> Result<Value, ReferenceFault> {
        let Reference { at, task, pointer, .. } = reference;
        let part = whole.pointer(pointer).ok_or_else(|| {
            let reason = format!("the output of `{task}` has nothing at `{pointer}`");
            ReferenceFault { at: at.clone(), reason }
        })?;
        // Charged before it is copied: a few references to one output must not fill the memory.
        self.charge(reference, part)?;
        Ok(part.clone())
    }

    /// Takes the size of a value off what is left. Looks no further than that goes.
    fn charge(
        &mut self,
        reference: &Reference,
        value: &impl Serialize,
    ) -> Result<(), ReferenceFault> {
        let mut counter = Counter { bytes_left: self.bytes_left };
        serde_json::to_writer(&mut counter, value).map_err(|_| {
            let most = Bytes(self.bytes_max);
            let reason = format!(
                "the outputs that the inputs refer to have more than {most} together, \
                 which is the most: point at the parts that are needed"
            );
            ReferenceFault { at: reference.at.clone(), reason }
        })?;
        self.bytes_left = counter.bytes_left;
        Ok(())
    }
}

/// Counts what is written to it, and refuses more than is left.
struct Counter {
    bytes_left: u64,
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.bytes_left.checked_sub(bytes.len() as u64);
        self.bytes_left = left.ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultCode;

    fn completed(output: Value) -> Outcome {
        Outcome { state: TaskState::Completed, output: Some(output), fault: None }
    }

    /// Resolves against `fetch`, which completed, and `optional`, which did not.
    fn resolved(inputs: Value) -> Result<Value, ReferenceFault> {
        let fetch = completed(json!({"json": [{"a/b": 7}]}));
        let fault = Some(Fault::new(FaultCode::Permanent, "down"));
        let optional = Outcome { state: TaskState::Failed, output: None, fault };
        resolve(inputs, &|task| match task {
            "fetch" => Some(&fetch),
            "optional" => Some(&optional),
            _ => None,
        })
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
        assert_eq!(resolved(inputs).unwrap(), json!({"n": 7, "keep": true}));
    }

    #[test]
    fn a_pointer_that_finds_nothing_says_where_and_what() {
        let inputs = json!({"n": {"$from": "fetch", "pointer": "/text"}});
        let fault = resolved(inputs).unwrap_err();
        assert_eq!(fault.to_string(), "/n: the output of `fetch` has nothing at `/text`");
    }

    #[test]
    fn a_task_that_did_not_complete_is_null() {
        let inputs = json!({"n": {"$from": "optional", "pointer": "/text"}});
        assert_eq!(resolved(inputs).unwrap(), json!({"n": null}));
    }

    #[test]
    fn an_outcome_says_what_became_of_a_task() {
        let inputs = json!([
            {"$from": "fetch", "pointer": "/json/0/a~1b", "outcome": true},
            {"$from": "optional", "pointer": "/text", "outcome": true},
            {"$from": "fetch", "pointer": "/json/0/a~1b", "outcome": false},
        ]);
        let expected = json!([
            {"state": "completed", "output": 7, "fault": null},
            {"state": "failed", "output": null, "fault": {"code": "permanent", "message": "down"}},
            7,
        ]);
        assert_eq!(resolved(inputs).unwrap(), expected);
        let inputs = json!({"$from": "fetch", "pointer": "/text", "outcome": true});
        assert!(resolved(inputs).unwrap_err().reason.contains("nothing at `/text`"));
    }

    #[test]
    fn a_fault_counts_as_often_as_it_is_referred_to() {
        let fault = Some(Fault::new(FaultCode::Permanent, "x".repeat(10_000)));
        let failed = Outcome { state: TaskState::Failed, output: None, fault };
        let inputs = json!(vec![json!({"$from": "a", "outcome": true}); 8_000]);
        let refused = resolve(inputs, &|_| Some(&failed)).unwrap_err();
        assert!(refused.reason.contains("more than 64 MiB together"), "{refused}");
    }

    #[test]
    fn an_output_is_not_multiplied_without_bound() {
        // As JSON, a byte less than an eighth of what is allowed; eight of them are 8 bytes less.
        let bytes = usize::try_from(INPUT_BYTES_MAX / 8).unwrap() - 3;
        let whole = completed(json!({"text": "a".repeat(bytes), "n": 1_234_567, "m": 12_345_678}));
        let output = |_: &str| Some(&whole);
        let text = json!({"$from": "a", "pointer": "/text"});
        let mut items = vec![text; 8];
        items.push(json!({"$from": "a", "pointer": "/m"}));
        assert!(resolve(json!(items), &output).is_ok(), "all of it may be used");
        items.push(json!({"$from": "a", "pointer": "/n"}));
        let fault = resolve(json!({"all": items}), &output).unwrap_err();
        assert_eq!(fault.at, "/all/9");
        assert!(fault.reason.contains("more than 64 MiB together"), "{fault}");
    }

    #[test]
    fn a_large_output_may_be_pointed_into() {
        let large = "a".repeat(usize::try_from(INPUT_BYTES_MAX).unwrap());
        let whole = completed(json!({"large": large, "small": 7}));
        let output = |_: &str| Some(&whole);
        let small = json!({"$from": "a", "pointer": "/small"});
        assert_eq!(resolve(small, &output).unwrap(), json!(7));
        assert!(resolve(json!({"$from": "a"}), &output).is_err());
    }

    #[test]
    fn a_malformed_reference_is_refused() {
        for inputs in [
            json!({"$from": 3}),
            json!({"$from": "a", "pointer": "x"}),
            json!({"$from": "a", "point": "/x"}),
            json!({"$from": "a", "outcome": "yes"}),
        ] {
            assert!(find(&inputs).is_err(), "{inputs}");
        }
    }
}
