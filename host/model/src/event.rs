//! What happened to a job, in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::Decided;
use crate::budget::BudgetScope;
use crate::clock::Timestamp;
use crate::fault::Fault;
use crate::id::{JobId, TaskId};
use crate::job::Origin;
use crate::state::TaskState;

/// A numbered fact in a job's history. Numbers go 1, 2, 3 … without gaps within a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The place in the job's history, from 1.
    #[schemars(example = 3)]
    pub n: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The job.
    pub job_id: JobId,
    /// The task, unless it is about the job as a whole.
    pub task_id: Option<TaskId>,
    /// The attempt, zero when it belongs to none.
    #[schemars(example = 1)]
    pub attempt: u32,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Happening {
    /// The task moved to another state.
    State {
        /// The state it is in now.
        state: TaskState,
        /// Why, when it did not go well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
    /// The tool failed for good, and another takes its place.
    Fallback {
        /// The tool that failed.
        from: String,
        /// The tool that is tried now.
        to: String,
    },
    /// A schedule submitted the job.
    Fired(Origin),
    /// The task is parked until somebody approves that it runs this tool.
    ApprovalAsked {
        /// The tool.
        tool: String,
    },
    /// Somebody approved or denied that the task runs its tool.
    ApprovalDecided(Decided),
    /// A cost policy decided something about a call of a model, or about the task as it started.
    CostDecided(CostDecided),
    /// The result was kept from an earlier run of the tool, and was given again.
    CacheHit {
        /// When that run ended.
        kept_at: Timestamp,
    },
    /// No result was kept for these arguments, so the tool runs.
    CacheMiss,
    /// Somebody cancelled the task while an attempt was running, which ends soon.
    Cancelling,
    /// The attempt completed before the cancellation could end it: its result counts.
    CancelTooLate,
    /// The executor wrote a line to its log.
    Log(LogLine),
    /// The command wrote to its standard output.
    Stdout {
        /// What, as text: the next piece of it.
        text: String,
    },
    /// The command wrote to its standard error.
    Stderr {
        /// What, as text: the next piece of it.
        text: String,
    },
    /// The executor said how far it has come.
    Progress {
        /// From 0.0 to 1.0.
        fraction: f64,
        /// What it is doing.
        message: String,
    },
    /// The executor saved a checkpoint.
    Checkpoint {
        /// The name of the step.
        step: String,
        /// The size of the value in bytes.
        bytes: u64,
    },
    /// The sandbox refused the executor something.
    Denied {
        /// What it wanted, and the grant that would allow it.
        message: String,
    },
    /// The executor was not let through to a destination that keeps failing.
    Held {
        /// Where to, for example `https://api.example.com:443`.
        destination: String,
        /// How long the destination is left alone, in milliseconds.
        wait_ms: u64,
    },
}

impl Happening {
    /// The word on the wire that says what kind it is.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Log(_) => "log",
            Self::Stdout { .. } => "stdout",
            Self::Stderr { .. } => "stderr",
            Self::Progress { .. } => "progress",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Denied { .. } => "denied",
            Self::Held { .. } => "held",
            Self::Fallback { .. } => "fallback",
            Self::Fired(_) => "fired",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::ApprovalDecided(_) => "approval_decided",
            Self::CostDecided(_) => "cost_decided",
            Self::CacheHit { .. } => "cache_hit",
            Self::CacheMiss => "cache_miss",
            Self::Cancelling => "cancelling",
            Self::CancelTooLate => "cancel_too_late",
        }
    }

    /// How many bytes its texts have.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::State { fault, .. } => fault.as_ref().map_or(0, |fault| fault.message.len()),
            Self::Log(LogLine { message, fields, .. }) => {
                let fields = fields.iter().map(|(name, value)| name.len() + value.len());
                message.len() + fields.sum::<usize>()
            }
            Self::Stdout { text } | Self::Stderr { text } => text.len(),
            Self::Progress { message, .. } | Self::Denied { message } => message.len(),
            Self::Checkpoint { step, .. } => step.len(),
            Self::Held { destination, .. } => destination.len(),
            Self::Fallback { from, to } => from.len() + to.len(),
            Self::Fired(origin) => origin.schedule.len(),
            Self::ApprovalAsked { tool } => tool.len(),
            Self::ApprovalDecided(decided) => {
                let reason = decided.reason.as_ref().map_or(0, |reason| reason.as_str().len());
                decided.principal.len() + reason
            }
            Self::CostDecided(decided) => decided.policy.len() + decided.reason.len(),
            Self::CacheHit { .. } | Self::CacheMiss | Self::Cancelling | Self::CancelTooLate => 0,
        }
    }
}

/// What a cost policy decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostDecided {
    /// The policy.
    #[schemars(example = &"careful")]
    pub policy: String,
    /// What was decided: `block`, `downgrade`, `notify` or `continue`.
    #[schemars(example = &"downgrade")]
    pub action: String,
    /// Whose budget it was about.
    pub scope: BudgetScope,
    /// Why.
    #[schemars(example = &"80 of 100 are gone, which is 80 % or more")]
    pub reason: String,
    /// The model that calls go to from now on, when that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A stream that a command writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// A line of an executor's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Named values, in the order they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// How much a log line matters.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every detail.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to know.
    Info,
    /// Something unexpected that was got over.
    Warn,
    /// Something that failed.
    Error,
}
