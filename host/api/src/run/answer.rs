//! What became of tasks that were run.

use std::collections::HashMap;
use std::sync::Arc;

use apflow_engine::{Engine, Written};
use apflow_model::fault::Fault;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Task;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ApiError;
use crate::jobs::SubmittedJob;

/// A task that was run: how it ended, or how it stands when it goes on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RanTask {
    /// Its id.
    pub id: TaskId,
    /// The job that it is in.
    pub job_id: JobId,
    /// The caller's reference to it.
    pub reference: String,
    /// Where it stands.
    pub state: TaskState,
    /// What it returned.
    pub output: Option<Value>,
    /// What its command wrote to standard output in its last attempt. None for an executor, which
    /// has no such thing, and as long as it goes on.
    pub stdout: Option<String>,
    /// What its command wrote to standard error.
    pub stderr: Option<String>,
    /// What its command ended with. None when it did not end by itself as well.
    pub exit_code: Option<i32>,
    /// What all its attempts used together.
    pub usage: Usage,
    /// Why it did not end well.
    pub fault: Option<Fault>,
}

impl RanTask {
    fn new(task: Task, Written { stdout, stderr, exit_code }: Written) -> Self {
        let Task { id, job_id, reference, state, output, usage, fault, .. } = task;
        Self { id, job_id, reference, state, output, stdout, stderr, exit_code, usage, fault }
    }

    /// The tasks of a job, in the order they were listed.
    pub(super) async fn all_of(
        submitted: &mut SubmittedJob,
        engine: &Arc<Engine>,
    ) -> Result<Vec<Self>, ApiError> {
        let job = &mut submitted.job;
        let mut written =
            if job.state.is_end() { engine.written(job).await? } else { HashMap::new() };
        let tasks = std::mem::take(&mut job.tasks).into_iter();
        Ok(tasks
            .map(|task| {
                let written = written.remove(&task.id).unwrap_or_default();
                Self::new(task, written)
            })
            .collect())
    }
}

/// What running one task answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Ran {
    /// The task.
    #[serde(flatten)]
    pub task: RanTask,
    /// Whether it was run earlier, under the same key.
    #[serde(skip)]
    pub is_replayed: bool,
}

impl Ran {
    /// The only task of a job.
    pub(crate) async fn of(
        mut submitted: SubmittedJob,
        engine: &Arc<Engine>,
    ) -> Result<Self, ApiError> {
        let is_replayed = submitted.is_replayed;
        let task = RanTask::all_of(&mut submitted, engine).await?.into_iter().next();
        // Whoever removed the job has removed its task.
        let task = task.ok_or(ApiError::UnknownJob(submitted.job.id))?;
        Ok(Self { task, is_replayed })
    }

    /// 200 when it has ended, 202 when it goes on.
    pub(crate) fn status(&self) -> u16 {
        if self.task.state.is_end() { 200 } else { 202 }
    }
}
