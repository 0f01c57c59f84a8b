//! The end of an attempt, and all that follows from it, in one transaction.
//!
//! It does not decide about retries: `apflow_model::retry` does, and the engine passes it in.

use apflow_model::clock::Timestamp;
use apflow_model::fault::Fault;
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use serde_json::Value;
use sqlx::{SqliteConnection, query, query_as};

use crate::checkpoints;
use crate::dependents::{self, Moved};
use crate::error::StoreError;
use crate::events::{self, Draft, NewEvent};
use crate::row;
use crate::store::Store;
use crate::writer::Write;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Well: the task is `completed`.
    Completed {
        /// What it returned.
        output: Value,
    },
    /// Badly, with no other attempt: the task is `failed`.
    Failed {
        /// Why.
        fault: Fault,
    },
    /// Because somebody asked for it: the task is `cancelled`.
    Cancelled {
        /// What there is to say of it.
        fault: Fault,
    },
    /// Badly, with another attempt to come: the task is `scheduled`, or `ready` when `run_at` is
    /// not in the future.
    Retry {
        /// Why this attempt failed.
        fault: Fault,
        /// Not before this moment.
        run_at: Timestamp,
    },
}

/// The end of an attempt, to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The task.
    pub task: TaskId,
    /// The number of the attempt that ended.
    pub attempt: u32,
    /// When it ended.
    pub now: Timestamp,
    /// How it ended.
    pub end: End,
    /// What the attempt used.
    pub usage: Usage,
    /// What happened in it and is not stored yet, in order.
    pub events: Vec<NewEvent>,
}

/// What a settlement changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The job of the task.
    pub job: JobId,
    /// The state the task is in now.
    pub state: TaskState,
    /// The tasks that became ready, itself included when it is tried again at once.
    pub became_ready: Vec<TaskId>,
    /// When the earliest task that became scheduled is due.
    pub next_run_at: Option<Timestamp>,
    /// How the job ended, when this was its last task to end.
    pub job_ended: Option<JobState>,
}

impl Store {
    /// Stores the end of an attempt that still holds its task.
    ///
    /// The task's state, its attempt, output, usage and events, the tasks that become ready or
    /// are skipped, and the end of the job change in one transaction: a crash leaves all of them
    /// or none. The checkpoints of a completed task are dropped; those of any other are kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::AttemptLost`] when the attempt no longer holds the task; nothing is stored,
    /// because another attempt is the one that counts.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.write(settlement).await
    }
}

impl Write for Settlement {
    type Output = Settled;

    async fn apply(self, connection: &mut SqliteConnection) -> Result<Settled, StoreError> {
        let Self { task, attempt, now, end, usage, events } = self;
        Ending { task, attempt, now, end, usage: Some(usage), events }.apply(connection).await
    }
}

/// The end of an attempt, of which perhaps nobody knows what it used.
pub(crate) struct Ending {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) now: Timestamp,
    pub(crate) end: End,
    pub(crate) usage: Option<Usage>,
    pub(crate) events: Vec<NewEvent>,
}

/// Only the attempt that holds the task ends it: this is the fence.
const END_TASK: &str = "\
    UPDATE task SET state = $3, session_id = NULL, run_at = coalesce($4, run_at), fault = $5, \
                    ended_at = $6 \
    WHERE id = $1 AND attempt = $2 AND state = 3 \
    RETURNING job_id, (SELECT task_count FROM job WHERE job.id = task.job_id) = 1 AS is_alone, \
              EXISTS (SELECT 1 FROM checkpoint WHERE task_id = task.id) AS has_checkpoints";

const END_ATTEMPT: &str =
    "UPDATE attempt SET ended_at = $3, fault = $4, usage = $5 WHERE task_id = $1 AND n = $2";

const INSERT_OUTPUT: &str = "INSERT INTO task_output (task_id, body) VALUES ($1, $2)";

const CHANGE_JOB: &str = "\
    UPDATE job SET event_count = event_count + $2, open_count = open_count - $3, \
                   state = coalesce($4, state), ended_at = coalesce($5, ended_at) \
    WHERE id = $1 RETURNING event_count, open_count";

const END_JOB: &str = "UPDATE job SET state = $2, ended_at = $3 WHERE id = $1";

/// What an attempt held when it ended.
struct Held {
    job: JobId,
    /// Whether the task is the only one of its job.
    is_alone: bool,
}

impl End {
    /// The state that a task is in after this end at `now`.
    fn state(&self, now: Timestamp) -> TaskState {
        match self {
            Self::Completed { .. } => TaskState::Completed,
            Self::Failed { .. } => TaskState::Failed,
            Self::Cancelled { .. } => TaskState::Cancelled,
            Self::Retry { run_at, .. } if *run_at > now => TaskState::Scheduled,
            Self::Retry { .. } => TaskState::Ready,
        }
    }

    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Completed { .. } => None,
            Self::Failed { fault } | Self::Cancelled { fault } | Self::Retry { fault, .. } => {
                Some(fault)
            }
        }
    }

    fn run_at(&self) -> Option<Timestamp> {
        match self {
            Self::Retry { run_at, .. } => Some(*run_at),
            Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. } => None,
        }
    }
}

impl Ending {
    /// Stores the end and all that follows from it.
    pub(crate) async fn apply(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Settled, StoreError> {
        let state = self.end.state(self.now);
        let held = self.end_task(connection, state).await?;
        let job = held.job;
        let mut moved = Vec::new();
        if let Some(run_at) = self.end.run_at() {
            moved.push(Moved { task: self.task, state, run_at });
        } else if !held.is_alone {
            moved = dependents::resolve(connection, (self.task, state), self.now).await?;
        }
        let job_ended = self.change_job(connection, &held, state, &moved).await?;
        let in_state = |state| moved.iter().filter(move |moved| moved.state == state);
        Ok(Settled {
            job,
            state,
            became_ready: in_state(TaskState::Ready).map(|moved| moved.task).collect(),
            next_run_at: in_state(TaskState::Scheduled).map(|moved| moved.run_at).min(),
            job_ended,
        })
    }

    /// Ends the attempt, and the task with it unless it is tried again.
    async fn end_task(
        &self,
        connection: &mut SqliteConnection,
        state: TaskState,
    ) -> Result<Held, StoreError> {
        let fault = self.end.fault().map(row::text).transpose()?;
        let now = self.now.unix_ms();
        let held: Option<(i64, bool, bool)> = query_as(END_TASK)
            .bind(self.task.0)
            .bind(self.attempt)
            .bind(state.code())
            .bind(self.end.run_at().map(Timestamp::unix_ms))
            .bind(fault.as_ref().filter(|_| state.is_end()))
            .bind(state.is_end().then_some(now))
            .fetch_optional(&mut *connection)
            .await?;
        let (job, is_alone, has_checkpoints) = held.ok_or(StoreError::AttemptLost)?;
        query(END_ATTEMPT)
            .bind(self.task.0)
            .bind(self.attempt)
            .bind(now)
            .bind(fault)
            .bind(self.usage.as_ref().map(row::text).transpose()?)
            .execute(&mut *connection)
            .await?;
        if let End::Completed { output } = &self.end {
            query(INSERT_OUTPUT)
                .bind(self.task.0)
                .bind(row::text(output)?)
                .execute(&mut *connection)
                .await?;
            if has_checkpoints {
                checkpoints::drop_all(connection, self.task).await?;
            }
        }
        Ok(Held { job: JobId(job), is_alone })
    }

    /// Adds the events to the job, and ends it with its last task.
    async fn change_job(
        self,
        connection: &mut SqliteConnection,
        held: &Held,
        state: TaskState,
        moved: &[Moved],
    ) -> Result<Option<JobState>, StoreError> {
        let job = held.job;
        let attempt = (job, self.task, self.attempt);
        let of_attempt = |new| Draft::of_attempt(job, self.task, self.attempt, new);
        let fault = self.end.fault().cloned();
        let mut drafts: Vec<_> = self.events.into_iter().map(of_attempt).collect();
        drafts.push(Draft::of_attempt_state(attempt, state, fault, self.now));
        let others = moved.iter().filter(|moved| moved.task != self.task);
        drafts.extend(others.map(|to| Draft::of_state(job, to.task, to.state, self.now)));
        let ended = moved.iter().map(|moved| moved.state).chain([state]);
        let ended = ended.filter(|state| state.is_end()).count();
        let added = row::count(drafts.len() as u64);
        // Most jobs are one task, and end with it: they need no further statement.
        let end = (held.is_alone && state.is_end()).then(|| JobState::of_ended(&[state], &[]));
        let (last, open): (i64, i64) = query_as(CHANGE_JOB)
            .bind(job.0)
            .bind(added)
            .bind(row::count(ended as u64))
            .bind(end.map(JobState::name))
            .bind(end.map(|_| self.now.unix_ms()))
            .fetch_one(&mut *connection)
            .await?;
        events::insert(connection, last - added + 1, drafts).await?;
        if open > 0 || end.is_some() {
            return Ok(end);
        }
        let end = dependents::job_end(connection, job).await?;
        query(END_JOB)
            .bind(job.0)
            .bind(end.name())
            .bind(self.now.unix_ms())
            .execute(connection)
            .await?;
        Ok(Some(end))
    }
}
