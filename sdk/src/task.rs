//! The task whose attempt is running.

use crate::bindings::apflow::plugin::types;

/// The task whose attempt this call of the executor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The host's id of the task. Stable over retries.
    pub id: String,
    /// The host's id of the job that the task belongs to.
    pub job_id: String,
    /// Which try this is: 1 for the first. Every retry counts one up.
    pub attempt: u32,
    /// The same for every attempt of this task and for no other task. Send it with requests that
    /// must take effect only once (`Idempotency-Key`).
    pub idempotency_key: String,
    /// The model the caller asked for, for executors that call one.
    pub model: Option<String>,
}

impl From<types::Task> for Task {
    fn from(task: types::Task) -> Self {
        let types::Task { id, job_id, attempt, idempotency_key, model } = task;
        Self { id, job_id, attempt, idempotency_key, model }
    }
}
