//! Jobs of one task that nobody claims: the host that takes one in runs it, before it is stored.
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
use crate::submission::{Submit, Submitted};
use crate::take::Claimed;

/// The number of the attempt that begins before its job is stored.
const FIRST: u32 = 1;

/// A job of one task that runs, and is not stored yet.
#[derive(Debug)]
pub struct EagerJob {
    new: NewJob,
    /// The key that is to stand for it.
    once: Option<Once>,
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
    pub fn new_job(&self) -> &NewJob {
        &self.new
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

    /// The job with its running task.
    fn running(&self) -> Job {
        let mut job = self.job.clone();
        job.state = JobState::Running;
        for task in &mut job.tasks {
            (task.state, task.started_at) = (TaskState::Running, Some(self.began));
            let (started_at, ended_at) = (self.began, None);
            let attempt = Attempt { n: FIRST, started_at, ended_at, fault: None, usage: None };
            task.attempts.push(attempt);
        }
        job
    }

    /// The history of the job so far.
    fn happened(&self) -> Vec<Draft> {
        let mut events = plan::first_events(&self.job);
        events.extend(self.job.tasks.iter().map(|task| {
            let held = (self.job.id, task.id, FIRST);
            Draft::of_attempt_state(held, TaskState::Running, None, self.began)
        }));
        events
    }

    /// The job as it is after its first attempt has completed its task.
    pub fn ended(&self, at: Timestamp, output: Value, usage: Usage) -> Job {
        let mut job = self.running();
        (job.state, job.ended_at) = (JobState::Completed, Some(at));
        if let [task] = &mut *job.tasks {
            (task.state, task.ended_at) = (TaskState::Completed, Some(at));
            (task.output, task.usage) = (Some(output), usage);
            for attempt in &mut task.attempts {
                (attempt.ended_at, attempt.usage) = (Some(at), Some(usage));
            }
        }
        job
    }

    /// The job with its completed task, and its whole history.
    fn ended_with(&self, end: EagerEnd) -> (Job, Vec<Draft>) {
        let EagerEnd { at, output, usage, events: happened } = end;
        let mut events = self.happened();
        let held = (self.job.id, self.job.tasks[0].id, FIRST);
        let of_attempt = |new| Draft::of_attempt(held.0, held.1, held.2, new);
        events.extend(happened.iter().map(of_attempt));
        events.push(Draft::of_attempt_state(held, TaskState::Completed, None, at));
        (self.ended(at, output, usage), events)
    }
}

impl Store {
    /// Plans a job whose only task begins to run in this session now, and stores nothing of it. A key
    /// that is to stand for it is stored with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], when its lane is new and cannot be made, and [`StoreError::Corrupt`]
    /// for another number of tasks than one.
    pub async fn begin_eagerly(
        &self,
        new: NewJob,
        once: Option<Once>,
        session: SessionId,
        now: Timestamp,
    ) -> Result<EagerJob, StoreError> {
        if new.spec.tasks.len() != 1 {
            return Err(StoreError::corrupt("a job that begins at once has one task"));
        }
        let lanes = self.lanes(&new).await?;
        let job = self.name_job(&new, now)?;
        Ok(EagerJob { new, once, job, lanes, session, began: now })
    }

    /// Stores a job whose task runs, unless its key stands for one already. From then on it is as any
    /// other. It survives a crash of the process, and the loss of power at once if it `is_synced`,
    /// else as [`Store::submit_until_ended`] says.
    ///
    /// # Errors
    ///
    /// As [`Store::submit_once`]; [`StoreError::SessionLost`] when the lease of its session has ended.
    /// Nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_running(
        &self,
        eager: &EagerJob,
        is_synced: bool,
    ) -> Result<Submitted, StoreError> {
        let (job, events) = (eager.running(), eager.happened());
        let mut rows = self.rows(eager, &job, events)?;
        rows.is_synced = is_synced;
        self.store_eager(rows, job).await
    }

    /// Stores a job whose task has completed, unless its key stands for one already. When this
    /// returns, it survives a crash and the loss of power.
    ///
    /// # Errors
    ///
    /// As [`Store::submit_once`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_ended(
        &self,
        eager: &EagerJob,
        end: EagerEnd,
    ) -> Result<Submitted, StoreError> {
        let (job, events) = eager.ended_with(end);
        let rows = self.rows(eager, &job, events)?;
        self.store_eager(rows, job).await
    }

    async fn store_eager(&self, rows: Submit, job: Job) -> Result<Submitted, StoreError> {
        let stored = self.write(rows).await?;
        Ok(stored.earlier.map_or(Submitted::New(job), Submitted::Replayed))
    }

    fn rows(&self, eager: &EagerJob, job: &Job, events: Vec<Draft>) -> Result<Submit, StoreError> {
        let session = Some(eager.session);
        let (admission, lanes) = (self.admission(), &eager.lanes);
        let mut rows = Submit::new(&eager.new, job, lanes, events, session, admission)?;
        rows.wanted = eager.once.clone().map(|once| Wanted {
            principal: job.principal.clone(),
            once,
            job: job.id,
            now: eager.began,
        });
        Ok(rows)
    }
}
