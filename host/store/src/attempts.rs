//! The end of an attempt, and all that follows from it, in one transaction.
//!
//! It does not decide about retries: `apflow_model::retry` does, and the engine passes it in.

use std::time::Duration;

use apflow_model::cache::CacheLimits;
use apflow_model::clock::Timestamp;
use apflow_model::fault::Fault;
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use serde_json::Value;

use crate::cache::NewResult;
use crate::error::StoreError;
use crate::events::NewEvent;
use crate::files::NewTaskFile;
use crate::spending::Spending;
use crate::store::Store;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Well: the task is `completed`.
    Completed {
        /// What it returned.
        output: Value,
        /// What it left, in place already.
        files: Vec<NewTaskFile>,
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
    /// Badly, with another tool to take its place: the task is `ready`, and has as many attempts as at
    /// first.
    Fallback {
        /// Why the tool failed.
        fault: Fault,
        /// The tools that have failed, first to last.
        from: Vec<String>,
        /// The tool that is tried now.
        to: String,
        /// Whether somebody must approve that, since the role of the job asks for it.
        needs_approval: bool,
        /// Not before this moment, which is not in the future.
        run_at: Timestamp,
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

/// What the end of an attempt says of the tool that it ran, beside the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRun {
    /// The tool.
    pub tool: String,
    /// Where the end comes from.
    pub source: RunSource,
}

/// Where the end of a tool's attempt comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunSource {
    /// The tool ran.
    Run {
        /// How long it took.
        took: Duration,
        /// How its result is kept, if it ends well. None when it is not.
        keep: Option<NewResult>,
    },
    /// A result was given again.
    Cache,
}

/// What a settlement changed.
///
/// When several attempts of one job end in the same commit, what they changed together in that
/// job is told with the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The job of the task.
    pub job: JobId,
    /// The state the task is in now: `cancelled` when somebody cancelled it before, unless it
    /// completed.
    pub state: TaskState,
    /// Whether somebody cancelled the task before.
    pub was_cancelled: bool,
    /// The tasks that became ready, itself included when it is tried again at once.
    pub became_ready: Vec<TaskId>,
    /// How many tasks were skipped by that.
    pub skipped: usize,
    /// When the earliest task that became scheduled is due.
    pub next_run_at: Option<Timestamp>,
    /// How the job ended, when this was its last task to end.
    pub job_ended: Option<JobState>,
}

impl Store {
    /// Stores the end of an attempt that still holds its task.
    ///
    /// The task's state, its attempt, output, files, usage and events, the tasks that become ready or
    /// are skipped, and the end of the job change in one transaction: a crash leaves all of them
    /// or none. A task that somebody cancelled is not tried again. The checkpoints of a completed
    /// task are dropped, unless the store [keeps](Store::keep_checkpoints) them; those of any other
    /// are kept.
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
        self.settle_with(settlement, None, Spending::default()).await
    }

    /// Stores the end of an attempt of a tool, as [`Store::settle`] does. In the same transaction,
    /// the run is counted, and its result is kept to be given again.
    ///
    /// # Errors
    ///
    /// As [`Store::settle`].
    ///
    /// # Cancel safety
    ///
    /// As [`Store::settle`].
    pub async fn settle_tool(
        &self,
        settlement: Settlement,
        run: ToolRun,
    ) -> Result<Settled, StoreError> {
        self.settle_with(settlement, Some(run), Spending::default()).await
    }

    /// Stores the end of an attempt, perhaps of a tool, as [`Store::settle_tool`] does. In the same
    /// transaction, what it did with its budgets is charged, and what it did not use goes back. Who
    /// waits for that becomes ready.
    ///
    /// # Errors
    ///
    /// As [`Store::settle`].
    ///
    /// # Cancel safety
    ///
    /// As [`Store::settle`].
    pub async fn settle_with(
        &self,
        settlement: Settlement,
        run: Option<ToolRun>,
        spending: Spending,
    ) -> Result<Settled, StoreError> {
        let Settlement { task, attempt, now, end, usage, events } = settlement;
        let (usage, keeps_checkpoints) = (Some(usage), self.keeps_checkpoints());
        let tool = run.map(|run| (run, self.cache_limits()));
        let ending =
            Ending { task, attempt, now, end, usage, events, keeps_checkpoints, tool, spending };
        self.write(ending).await
    }
}

impl End {
    /// The state that a task is in after this end at `now`.
    pub(crate) fn state(&self, now: Timestamp) -> TaskState {
        match self {
            Self::Completed { .. } => TaskState::Completed,
            Self::Failed { .. } => TaskState::Failed,
            Self::Cancelled { .. } => TaskState::Cancelled,
            Self::Retry { run_at, .. } if *run_at > now => TaskState::Scheduled,
            Self::Retry { .. } | Self::Fallback { .. } => TaskState::Ready,
        }
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Completed { .. } => None,
            Self::Failed { fault }
            | Self::Cancelled { fault }
            | Self::Fallback { fault, .. }
            | Self::Retry { fault, .. } => Some(fault),
        }
    }

    pub(crate) fn run_at(&self) -> Option<Timestamp> {
        match self {
            Self::Retry { run_at, .. } | Self::Fallback { run_at, .. } => Some(*run_at),
            Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. } => None,
        }
    }
}

/// The end of an attempt, of which perhaps nobody knows what it used.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) now: Timestamp,
    pub(crate) end: End,
    pub(crate) usage: Option<Usage>,
    pub(crate) events: Vec<NewEvent>,
    /// Whether a task that has completed keeps its checkpoints for now. One that has not completed
    /// does so in any case.
    pub(crate) keeps_checkpoints: bool,
    /// What it says of the tool that was run, and how much may be kept of tools.
    pub(crate) tool: Option<(ToolRun, CacheLimits)>,
    /// What it did with its budgets that is not stored yet.
    pub(crate) spending: Spending,
}

impl Ending {
    /// The state that the task is in after it.
    pub(crate) fn state(&self) -> TaskState {
        self.end.state(self.now)
    }
}
