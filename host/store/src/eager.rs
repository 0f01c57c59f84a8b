//! Jobs of one task that nobody claims: the host that takes one in runs it. It begins in the commit
//! that stores it, or before, for a caller who is told nothing of it until then.
//!
//! It decides nothing: the engine says which jobs these are, and when one is stored.

use apflow_model::clock::Timestamp;
use apflow_model::job::{Attempt, Job};
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use serde_json::Value;

use crate::error::StoreError;
use crate::events::{Draft, NewEvent};
use crate::idempotency::{Once, Wanted};
use crate::plan::{self, NewJob};
use crate::plugins::PluginRevision;
use crate::sessions::SessionId;
use crate::store::Store;
use crate::submission::{Begin, Submit, Submitted};
use crate::take::Claimed;

/// The number of the attempt that begins before its job is stored.
const FIRST: u32 = 1;

/// A job of one task that runs, and is not stored yet.
#[derive(Debug)]
pub struct EagerJob {
    new: NewJob,
    /// The job as it was planned.
    job: Job,
    lanes: Vec<i64>,
    session: SessionId,
    began: Timestamp,
}

/// How the task of an [`EagerJob`] ended well.
#[derive(Debug, Clone, PartialEq)]
pub struct EagerEnd {
    /// When.
    pub at: Timestamp,
    /// What it returned.
    pub output: Value,
    /// What its attempt used.
    pub usage: Usage,
    /// What happened in it, in order.
    pub events: Vec<NewEvent>,
}

impl EagerJob {
    /// The job as it was planned.
    pub fn planned(&self) -> &Job {
        &self.job
    }

    /// What it was planned from.
    pub fn into_new(self) -> NewJob {
        self.new
    }

    /// What its attempt needs, as if it had been claimed.
    pub fn claimed(&self, plugins: PluginRevision) -> Claimed {
        let (task, spec) = (&self.job.tasks[0], &self.new.spec.tasks[0]);
        Claimed {
            job: self.job.id,
            task: task.id,
            attempt: FIRST,
            due_at: task.run_at,
            reference: task.reference.clone(),
            executor: task.executor.clone(),
            principal: self.job.principal.clone(),
            inputs: spec.inputs.clone(),
            timeout: spec.timeout,
            deadline: task.deadline,
            attempts_max: task.max_attempts,
            attempts_before: 0,
            backoff: spec.backoff,
            token_budget: spec.token_budget,
            model: spec.model.clone(),
            grants: self.new.grants.clone(),
            has_dependencies: false,
            allow: task.allow.clone(),
            uses_cache: spec.uses_cache,
            used: Usage::default(),
            hops: self.job.hops.clone(),
            // Nobody has looked: whoever asks for one looks then.
            has_budgets: true,
            refused: None,
            plugins,
        }
    }

    /// The job with its running task, and its history so far.
    fn begun(&self) -> (Job, Vec<Draft>) {
        let (mut job, mut events) = (self.job.clone(), plan::first_events(&self.job));
        job.state = JobState::Running;
        for task in &mut job.tasks {
            (task.state, task.started_at) = (TaskState::Running, Some(self.began));
            let (started_at, ended_at) = (self.began, None);
            let attempt = Attempt { n: FIRST, started_at, ended_at, fault: None, usage: None };
            task.attempts.push(attempt);
            let held = (job.id, task.id, FIRST);
            events.push(Draft::of_attempt_state(held, TaskState::Running, None, self.began));
        }
        (job, events)
    }

    /// The job with its completed task, and its whole history.
    fn ended(&self, end: EagerEnd) -> (Job, Vec<Draft>) {
        let (mut job, mut events) = self.begun();
        let EagerEnd { at, output, usage, events: happened } = end;
        (job.state, job.ended_at) = (JobState::Completed, Some(at));
        if let [task] = &mut *job.tasks {
            let of_attempt = |new| Draft::of_attempt(job.id, task.id, FIRST, new);
            events.extend(happened.iter().map(of_attempt));
            let held = (job.id, task.id, FIRST);
            events.push(Draft::of_attempt_state(held, TaskState::Completed, None, at));
            (task.state, task.ended_at) = (TaskState::Completed, Some(at));
            (task.output, task.usage) = (Some(output), usage);
            for attempt in &mut task.attempts {
                (attempt.ended_at, attempt.usage) = (Some(at), Some(usage));
            }
        }
        (job, events)
    }
}

impl Store {
    /// Plans a job whose only task begins to run in this session now, and stores nothing of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], when its lane is new and cannot be made, and [`StoreError::Corrupt`]
    /// for another number of tasks than one.
    pub async fn begin_eagerly(
        &self,
        new: NewJob,
        session: SessionId,
        now: Timestamp,
    ) -> Result<EagerJob, StoreError> {
        if new.spec.tasks.len() != 1 {
            return Err(StoreError::corrupt("a job that begins at once has one task"));
        }
        let lanes = self.lanes(&new).await?;
        let job = self.name_job(&new, now)?;
        Ok(EagerJob { new, job, lanes, session, began: now })
    }

    /// Stores a job whose task begins with the commit. When this returns, it survives a crash and the
    /// loss of power.
    ///
    /// `begin` is called before, once the job is durable: also when nobody waits for the answer any
    /// more, and never for a job that was not stored.
    ///
    /// # Errors
    ///
    /// As [`Store::submit`]; [`StoreError::SessionLost`] when the lease of its session has ended.
    /// Nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_begun(
        &self,
        eager: &EagerJob,
        begin: impl FnOnce() + Send + 'static,
    ) -> Result<Job, StoreError> {
        self.write(self.begun_rows(eager, begin)?).await?;
        Ok(eager.job.clone())
    }

    /// As [`Store::submit_begun`], unless its key stands for a job already.
    ///
    /// # Errors
    ///
    /// As [`Store::submit_begun`]; [`StoreError::IdempotencyConflict`] when the key stands for another
    /// submission.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_begun_once(
        &self,
        eager: &EagerJob,
        once: Once,
        begin: impl FnOnce() + Send + 'static,
    ) -> Result<Submitted, StoreError> {
        let mut rows = self.begun_rows(eager, begin)?;
        let (principal, job, now) = (eager.job.principal.clone(), eager.job.id, eager.began);
        rows.wanted = Some(Wanted { principal, once, job, now });
        let stored = self.write(rows).await?;
        Ok(stored.earlier.map_or_else(|| Submitted::New(eager.job.clone()), Submitted::Replayed))
    }

    fn begun_rows(
        &self,
        eager: &EagerJob,
        begin: impl FnOnce() + Send + 'static,
    ) -> Result<Submit, StoreError> {
        let (job, events) = eager.begun();
        let mut rows = self.rows(eager, &job, events)?;
        rows.begin = Some(Begin::new(Box::new(begin)));
        Ok(rows)
    }

    /// Stores a job whose task runs. From then on it is as any other. It survives a crash of the
    /// process, and the loss of power as [`Store::submit_until_ended`] says.
    ///
    /// # Errors
    ///
    /// As [`Store::submit`]; [`StoreError::SessionLost`] when the lease of its session has ended.
    /// Nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_running(&self, eager: &EagerJob) -> Result<(), StoreError> {
        let (job, events) = eager.begun();
        let mut rows = self.rows(eager, &job, events)?;
        rows.is_synced = false;
        self.write(rows).await.map(drop)
    }

    /// Stores a job whose task has completed, and answers it. When this returns, it survives a
    /// crash and the loss of power.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] and [`StoreError::Database`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_ended(&self, eager: &EagerJob, end: EagerEnd) -> Result<Job, StoreError> {
        let (job, events) = eager.ended(end);
        self.write(self.rows(eager, &job, events)?).await?;
        Ok(job)
    }

    fn rows(&self, eager: &EagerJob, job: &Job, events: Vec<Draft>) -> Result<Submit, StoreError> {
        let session = Some(eager.session);
        Submit::new(&eager.new, job, &eager.lanes, events, session, self.admission())
    }
}
