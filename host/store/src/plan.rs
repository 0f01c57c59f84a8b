//! Planning a job: what it and its tasks are before anything is stored.
//!
//! It stores nothing: `submission` does.

use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, JobSpec, Task, TaskDependency, TaskSpec};
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;

use crate::error::StoreError;
use crate::events::Draft;

/// A job to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What was submitted.
    pub spec: JobSpec,
    /// Who submitted it.
    pub principal: String,
    /// What the operator allows this job alone, beside what its plugins are granted.
    pub grants: Vec<Grant>,
}

/// Plans a job whose tasks have not begun. `ids` are its own and then its tasks'.
pub(crate) fn plan(new: &NewJob, ids: &[i64], now: Timestamp) -> Result<Job, StoreError> {
    let (id, ids) = ids.split_first().ok_or_else(|| StoreError::corrupt("a job has no id"))?;
    let id = JobId(*id);
    let specs = new.spec.tasks.iter().zip(ids);
    let tasks: Vec<_> = specs.map(|(spec, own)| plan_task(id, *own, spec, ids, now)).collect();
    Ok(Job {
        id,
        name: new.spec.name.clone(),
        state: JobState::Pending,
        principal: new.principal.clone(),
        created_at: now,
        ended_at: None,
        origin: None,
        hops: new.spec.hops.clone(),
        task_count: tasks.len() as u64,
        tasks,
    })
}

/// The first event of each task of a job.
pub(crate) fn first_events(job: &Job) -> Vec<Draft> {
    let first = |task: &Task| Draft::of_state(job.id, task.id, task.state, job.created_at);
    job.tasks.iter().map(first).collect()
}

fn plan_task(job: JobId, id: i64, spec: &TaskSpec, ids: &[i64], now: Timestamp) -> Task {
    let mut dependencies: Vec<_> = spec
        .dependencies
        .iter()
        .map(|edge| TaskDependency { id: TaskId(ids[edge.task]), required: edge.required })
        .collect();
    // As they are read back.
    dependencies.sort_by_key(|edge| edge.id);
    let run_at = spec.run_at.unwrap_or(now);
    let state = if !dependencies.is_empty() {
        TaskState::Blocked
    } else if run_at > now {
        TaskState::Scheduled
    } else {
        TaskState::Ready
    };
    Task {
        id: TaskId(id),
        job_id: job,
        reference: spec.reference.clone(),
        name: spec.name.clone(),
        executor: spec.executor.clone(),
        fallback_from: Vec::new(),
        state,
        parent: spec.parent.map(|place| TaskId(ids[place])),
        dependencies,
        priority: spec.priority,
        run_at,
        deadline: spec.deadline,
        concurrency: spec.concurrency.clone(),
        created_at: now,
        started_at: None,
        ended_at: None,
        cancel_at: None,
        allow: spec.allow.clone(),
        max_attempts: spec.attempts_max,
        held_by: None,
        parked_for: None,
        approvals: Vec::new(),
        models: Vec::new(),
        output: None,
        fault: None,
        usage: Usage::default(),
        attempts: Vec::new(),
    }
}
