//! Jobs and tasks: what a caller submits, and what is shown of it.
//!
//! A [`JobSpec`] exists only when it holds no fault: `submission` makes it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::{Approval, ParkedFor};
use crate::breaker::BreakerKey;
use crate::capability::Grant;
use crate::clock::Timestamp;
use crate::concurrency::ConcurrencyKey;
use crate::fault::Fault;
use crate::hops::Hops;
use crate::id::{JobId, TaskId};
use crate::money::MicroUsd;
use crate::retry::Backoff;
use crate::state::{JobState, TaskState};
use crate::usage::{ModelUse, Usage};

/// The most tasks one job may have.
pub const TASKS_MAX: usize = 10_000;

/// A job as it was submitted, checked: references resolve, and nothing waits for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// The caller's name for it.
    pub name: Option<String>,
    /// Its tasks, as the caller listed them.
    pub tasks: Vec<TaskSpec>,
    /// How many model tokens all its tasks may spend together.
    pub token_budget: Option<u64>,
    /// How much money all its tasks may spend on models together, in millionths of a US dollar.
    pub cost_budget: Option<MicroUsd>,
    /// The hosts that it came through. No part of the JSON: whoever takes it in knows.
    pub hops: Hops,
    /// The role that it is submitted in, which is no part of the JSON either. None for the admin's.
    pub role: Option<String>,
}

/// A task as it was submitted, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// The caller's reference to it, unique in the job.
    pub reference: String,
    /// The caller's name for it.
    pub name: Option<String>,
    /// The plugin that runs it.
    pub executor: String,
    /// Whether the caller named it as a tool.
    pub is_tool: bool,
    /// Its input, perhaps with `$from` references.
    pub inputs: Value,
    /// The task it is shown under, by its place in the job.
    pub parent: Option<usize>,
    /// The tasks it waits for.
    pub dependencies: Vec<Dependency>,
    /// From 0 (urgent) to 3 (low).
    pub priority: u8,
    /// The longest one attempt may run. The plugin's own limit counts as well.
    pub timeout: Option<Duration>,
    /// Not before this moment.
    pub run_at: Option<Timestamp>,
    /// It fails unless it has ended before this moment: its own or its job's, whichever is first.
    pub deadline: Option<Timestamp>,
    /// How many tasks of its key may run at once.
    pub concurrency: Option<ConcurrencyKey>,
    /// How often it is tried at most, from 1 to 100.
    pub attempts_max: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// How many model tokens it may spend.
    pub token_budget: Option<u64>,
    /// The cost policy that says what happens on the way to its budget, and to its job's.
    pub cost_policy: Option<String>,
    /// The model it asks for.
    pub model: Option<String>,
    /// What it keeps of what the operator grants. None for all of it.
    pub allow: Option<Vec<Grant>>,
    /// Whether a result of its tool that is kept may be given again, and its own is kept.
    pub uses_cache: bool,
    /// Whether somebody must approve it, since its role asks for that. No part of the JSON.
    pub needs_approval: bool,
}

/// That a task waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// The task waited for, by its place in the job.
    pub task: usize,
    /// Whether the waiting task is skipped when it does not complete.
    pub required: bool,
}

/// What is wrong with a submission, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{path}{}{message}", if path.is_empty() { "" } else { ": " })]
pub struct SpecFault {
    /// The place in the submitted JSON, as a JSON pointer (RFC 6901): empty for all of it.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl SpecFault {
    /// A fault at a place.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The same fault, where what was submitted stands at `path` of something larger.
    #[must_use]
    pub fn below(self, path: &str) -> Self {
        Self { path: format!("{path}{}", self.path), ..self }
    }
}

/// A job as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The caller's name for it.
    #[schemars(example = &"nightly report")]
    pub name: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// Who submitted it.
    #[schemars(example = &"admin")]
    pub principal: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its last task ended.
    pub ended_at: Option<Timestamp>,
    /// The schedule that it comes from. None for one that a caller submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The hosts that it came through, when a guest submitted it.
    #[serde(default, skip_serializing_if = "Hops::is_empty")]
    pub hops: Hops,
    /// How many tasks it has.
    #[schemars(example = 1)]
    pub task_count: u64,
    /// Its tasks, in the order they were listed. Left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
}

/// Which schedule a job comes from, and which tick of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The name of the schedule.
    #[schemars(example = &"hourly")]
    pub schedule: String,
    /// The tick, or the moment at which somebody triggered it.
    pub tick: Timestamp,
}

/// A task as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The job it belongs to.
    pub job_id: JobId,
    /// The caller's reference to it.
    #[schemars(example = &"fetch")]
    pub reference: String,
    /// The caller's name for it.
    pub name: Option<String>,
    /// The plugin that runs it.
    #[schemars(example = &"rest_executor")]
    pub executor: String,
    /// The tools that failed before it took their place, first to last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_from: Vec<String>,
    /// Where it stands.
    pub state: TaskState,
    /// The task it is shown under.
    pub parent: Option<TaskId>,
    /// The tasks it waits for.
    pub dependencies: Vec<TaskDependency>,
    /// From 0 (urgent) to 3 (low).
    #[schemars(example = 2)]
    pub priority: u8,
    /// Not before this moment.
    pub run_at: Timestamp,
    /// It fails unless it has ended before this moment.
    pub deadline: Option<Timestamp>,
    /// How many tasks of its key may run at once.
    pub concurrency: Option<ConcurrencyKey>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When somebody cancelled it. A task that completed all the same was cancelled too late.
    pub cancel_at: Option<Timestamp>,
    /// What it keeps of what the operator grants. None for all of it.
    pub allow: Option<Vec<Grant>>,
    /// How often it is tried at most: what was asked for, one more with every attempt that a clean
    /// stop of the host cut short, and as many again with every redrive.
    #[schemars(example = 3)]
    pub max_attempts: u32,
    /// What holds it back, while it is ready and its executor is left alone for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldBy>,
    /// What it waits for, while it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_for: Option<ParkedFor>,
    /// The runs of tools that somebody was asked to approve, since it was last redriven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// What it returned.
    #[schemars(extend("examples" = [{"status": 200}]))]
    pub output: Option<Value>,
    /// Why it did not end well.
    pub fault: Option<Fault>,
    /// What all its attempts used together.
    pub usage: Usage,
    /// The models that they called, and those that they had asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelUse>,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
}

/// A task as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskSummary {
    /// Its id.
    pub id: TaskId,
    /// The job it belongs to.
    pub job_id: JobId,
    /// The caller's reference to it.
    #[schemars(example = &"fetch")]
    pub reference: String,
    /// The caller's name for it.
    pub name: Option<String>,
    /// The plugin that runs it.
    #[schemars(example = &"rest_executor")]
    pub executor: String,
    /// Where it stands.
    pub state: TaskState,
    /// From 0 (urgent) to 3 (low).
    #[schemars(example = 2)]
    pub priority: u8,
    /// How often it was tried.
    pub attempt: u32,
    /// How often it is tried at most.
    #[schemars(example = 3)]
    pub max_attempts: u32,
    /// Not before this moment.
    pub run_at: Timestamp,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When somebody cancelled it.
    pub cancel_at: Option<Timestamp>,
    /// Why it did not end well.
    pub fault: Option<Fault>,
}

/// What holds a ready task back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBy {
    /// The breaker of its executor.
    pub breaker: BreakerKey,
    /// When the breaker lets probes through. In the past, the task waits for its turn as one.
    pub until: Timestamp,
}

/// A dependency as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDependency {
    /// The task waited for.
    pub id: TaskId,
    /// Whether it must complete.
    pub required: bool,
}

/// One try of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Its number, from 1: the fencing token of its writes.
    #[schemars(example = 1)]
    pub n: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it did not end well.
    pub fault: Option<Fault>,
    /// What it used.
    pub usage: Option<Usage>,
}
