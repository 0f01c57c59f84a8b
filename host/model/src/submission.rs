//! Reads submissions: JSON in, a job without faults out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::clock::Timestamp;
use crate::draft::{NAME_BYTES_MAX, RawTask};
use crate::forest;
use crate::hops::Hops;
use crate::job::{JobSpec, SpecFault, TASKS_MAX};
use crate::money::MicroUsd;
use crate::pointer;

impl JobSpec {
    /// Reads a submission: the fields of one task, or `tasks` with a list of them.
    ///
    /// # Errors
    ///
    /// The first fault, with its place: a wrong type, an unknown field, a value out of range, a
    /// reference that names no task, a repeated id, or tasks that wait for each other in a circle.
    pub fn parse(value: Value) -> Result<Self, SpecFault> {
        if !value.is_object() {
            let message =
                "must be an object: the fields of one task, or `tasks` with a list of them";
            return Err(SpecFault::new("", message));
        }
        let is_forest = value.as_object().is_some_and(|map| map.contains_key("tasks"));
        let (raw, base) = if is_forest {
            let raw: RawJob = deserialize(value)?;
            forest::check_name("/name", raw.name.as_deref())?;
            (raw, "/tasks/")
        } else {
            let task: RawTask = deserialize(value)?;
            (RawJob { name: task.name.clone(), tasks: vec![task], ..RawJob::default() }, "")
        };
        let RawJob { name, deadline, token_budget, cost_budget_micro_usd, tasks: raws } = raw;
        if raws.is_empty() || raws.len() > TASKS_MAX {
            let message = format!("has {} tasks: expected 1 to {TASKS_MAX}", raws.len());
            return Err(SpecFault::new("/tasks", message));
        }
        let path =
            |index: usize| if base.is_empty() { String::new() } else { format!("{base}{index}") };
        let tasks = forest::link(raws, deadline, &path)?;
        let cost_budget = cost_budget_micro_usd;
        Ok(Self { name, tasks, token_budget, cost_budget, hops: Hops::default(), role: None })
    }
}

/// Reads the JSON shape of something that is submitted. A fault says where it is.
pub(crate) fn deserialize<'de, T: Deserialize<'de>>(value: Value) -> Result<T, SpecFault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let at = error.path().iter().fold(String::new(), |at, segment| match segment {
            Segment::Map { key } => pointer::key(&at, key),
            Segment::Seq { index } => pointer::item(&at, *index),
            // No key of the document: a word that was expected, or a place that nobody knows.
            Segment::Enum { .. } | Segment::Unknown => at,
        });
        SpecFault::new(at, error.inner().to_string())
    })
}

/// Several tasks, submitted as one job.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawJob {
    /// The caller's name for it.
    #[schemars(length(max = NAME_BYTES_MAX))]
    name: Option<String>,
    /// It fails unless it has ended before this moment.
    deadline: Option<Timestamp>,
    /// How many model tokens all its tasks may spend together.
    token_budget: Option<u64>,
    /// How much money all its tasks may spend on models together, in millionths of a US dollar.
    cost_budget_micro_usd: Option<MicroUsd>,
    /// Its tasks.
    #[schemars(length(min = 1, max = TASKS_MAX))]
    tasks: Vec<RawTask>,
}

/// What [`JobSpec::parse`] reads.
impl JsonSchema for JobSpec {
    fn schema_name() -> Cow<'static, str> {
        "NewJob".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A job: the fields of one task, or `tasks` with a list of them.",
            "anyOf": [generator.subschema_for::<RawTask>(), generator.subschema_for::<RawJob>()],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn place(value: Value) -> String {
        JobSpec::parse(value).unwrap_err().path
    }

    #[test]
    fn the_whole_document_is_the_empty_pointer() {
        for value in [json!(3), json!([]), json!(null)] {
            let fault = JobSpec::parse(value).unwrap_err();
            assert_eq!(fault.path, "");
            assert!(fault.to_string().starts_with("must be an object"), "{fault}");
        }
    }

    #[test]
    fn a_place_is_a_json_pointer_whatever_the_keys_are() {
        for (key, pointer) in [("a/b", "a~1b"), ("~", "~0"), ("[0]", "[0]"), ("[", "["), ("", "")] {
            let task = json!({"executor": "x", key: 1});
            assert_eq!(place(task.clone()), format!("/{pointer}"));
            assert_eq!(place(json!({"tasks": [task]})), format!("/tasks/0/{pointer}"));
        }
    }

    #[test]
    fn a_wrong_word_is_at_its_key() {
        let task = json!({"executor": "x", "backoff": {"strategy": "fibonacci"}});
        assert_eq!(place(json!({"tasks": [{"executor": "x"}, task]})), "/tasks/1/backoff/strategy");
    }

    #[test]
    fn a_long_name_of_a_job_is_refused() {
        let job = |bytes| json!({"name": "a".repeat(bytes), "tasks": [{"executor": "x"}]});
        assert!(JobSpec::parse(job(256)).is_ok());
        assert_eq!(place(job(257)), "/name");
    }
}
