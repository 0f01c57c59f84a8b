//! Reads submissions: JSON in, a job without faults out.

use serde::Deserialize;
use serde_json::Value;

use crate::draft::RawTask;
use crate::forest;
use crate::job::{JobSpec, SpecFault, TASKS_MAX};

impl JobSpec {
    /// Reads a submission: the fields of one task, or `tasks` with a list of them.
    ///
    /// # Errors
    ///
    /// The first fault, with its place: a wrong type, an unknown field, a value out of range, a
    /// reference that names no task, a repeated id, or tasks that wait for each other in a circle.
    pub fn parse(value: Value) -> Result<Self, SpecFault> {
        let is_forest = value.as_object().is_some_and(|map| map.contains_key("tasks"));
        let (name, raws, base) = if is_forest {
            let raw: RawJob = deserialize(value, "")?;
            (raw.name, raw.tasks, "/tasks/")
        } else {
            let raw: RawTask = deserialize(value, "")?;
            (raw.name.clone(), vec![raw], "")
        };
        if raws.is_empty() || raws.len() > TASKS_MAX {
            let message = format!("has {} tasks: expected 1 to {TASKS_MAX}", raws.len());
            return Err(SpecFault::new("/tasks", message));
        }
        let path =
            |index: usize| if base.is_empty() { String::new() } else { format!("{base}{index}") };
        let tasks = forest::link(raws, &path)?;
        Ok(Self { name, tasks })
    }
}

fn deserialize<'de, T: Deserialize<'de>>(value: Value, base: &str) -> Result<T, SpecFault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut path = base.to_owned();
        for segment in error.path() {
            let text = segment.to_string();
            path = format!("{path}/{}", text.trim_matches(['[', ']']));
        }
        SpecFault::new(
            if path.is_empty() { "/".to_owned() } else { path },
            error.inner().to_string(),
        )
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJob {
    name: Option<String>,
    tasks: Vec<RawTask>,
}
