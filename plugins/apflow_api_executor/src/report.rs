//! Passes on what the tasks of the other host say: their log lines and their progress.

use std::collections::BTreeMap;

use apflow_sdk::log::{self, Level};
use serde::Deserialize;
use serde_json::Value;

use crate::remote::{Event, RemoteTask};

/// What is known of the tasks of a job.
#[derive(Debug)]
pub struct Report {
    /// By id.
    tasks: BTreeMap<String, Standing>,
}

#[derive(Debug)]
struct Standing {
    reference: String,
    /// How far it has come, from 0.0 to 1.0.
    fraction: f64,
}

#[derive(Debug, Deserialize)]
struct LogLine {
    level: String,
    message: String,
    #[serde(default)]
    fields: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    fraction: f64,
    message: String,
}

impl Report {
    /// Begins with the tasks of a job.
    pub fn new(tasks: &[RemoteTask]) -> Self {
        let standing = |task: &RemoteTask| {
            let standing = Standing { reference: task.reference.clone(), fraction: 0.0 };
            (task.id.clone(), standing)
        };
        Self { tasks: tasks.iter().map(standing).collect() }
    }

    /// Passes on what is of interest among `events`. What cannot be read is left out: another version
    /// may say more than this one knows.
    pub fn pass_on(&mut self, events: &[Event]) {
        for event in events {
            let Some(id) = event.task_id.as_deref() else { continue };
            match event.kind.as_str() {
                "log" => self.pass_on_line(id, &event.data),
                "progress" => self.pass_on_progress(id, &event.data),
                "state" if event.data["state"] == "completed" => self.advance(id, 1.0, "completed"),
                _ => {}
            }
        }
    }

    fn pass_on_line(&self, id: &str, data: &Value) {
        let Ok(LogLine { level, message, mut fields }) = LogLine::deserialize(data) else { return };
        let level = match level.as_str() {
            "trace" => Level::Trace,
            "debug" => Level::Debug,
            "warn" => Level::Warn,
            "error" => Level::Error,
            _ => Level::Info,
        };
        if let (Some(task), true) = (self.tasks.get(id), self.tasks.len() > 1) {
            fields.push(("remote_task".to_owned(), task.reference.clone()));
        }
        let fields: Vec<(&str, &dyn std::fmt::Display)> =
            fields.iter().map(|(name, value)| (name.as_str(), value as _)).collect();
        log::write(level, message, &fields);
    }

    fn pass_on_progress(&mut self, id: &str, data: &Value) {
        if let Ok(Progress { fraction, message }) = Progress::deserialize(data) {
            self.advance(id, fraction, &message);
        }
    }

    /// Every task is an equal part of the whole.
    fn advance(&mut self, id: &str, fraction: f64, message: &str) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.fraction = fraction.clamp(0.0, 1.0);
        let message = format!("{}: {message}", task.reference);
        let sum: f64 = self.tasks.values().map(|task| task.fraction).sum();
        let count = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        log::progress(sum / f64::from(count), message);
    }
}

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    fn report(tasks: &[&str], events: &Value) -> Host {
        let task = |name: &&str| json!({ "id": name, "reference": name, "state": "ready" });
        let tasks: Vec<RemoteTask> =
            tasks.iter().map(|name| serde_json::from_value(task(name)).unwrap()).collect();
        let events: Vec<Event> = serde_json::from_value(events.clone()).unwrap();
        let host = Host::new();
        host.within(|| Report::new(&tasks).pass_on(&events));
        host
    }

    #[test]
    fn lines_are_passed_on_with_their_level_and_their_task() {
        let line = json!({ "level": "warn", "message": "hot", "fields": [["degrees", "90"]] });
        let events = json!([{ "task_id": "a", "kind": "log", "data": line }]);
        let (one, two) = (report(&["a"], &events), report(&["a", "b"], &events));
        let (one, two) = (&one.lines()[0], &two.lines()[0]);
        assert_eq!((one.level, one.message.as_str()), (Level::Warn, "hot"));
        assert_eq!(one.fields, [("degrees".to_owned(), "90".to_owned())]);
        assert_eq!(two.fields[1], ("remote_task".to_owned(), "a".to_owned()));
    }

    #[test]
    fn progress_is_that_of_all_tasks_together() {
        let events = json!([
            { "task_id": "a", "kind": "state", "data": { "state": "completed" } },
            { "task_id": "b", "kind": "progress", "data": { "fraction": 0.5, "message": "half" } },
            { "task_id": null, "kind": "fired", "data": {} },
            { "task_id": "b", "kind": "progress", "data": "odd" },
        ]);
        let expected = [(0.5, "a: completed".to_owned()), (0.75, "b: half".to_owned())];
        assert_eq!(report(&["a", "b"], &events).progress(), expected);
    }
}
