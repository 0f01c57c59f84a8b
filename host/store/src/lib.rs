//! The database of apflow-host: all SQL, and nothing else.
//!
//! It decides nothing that `apflow-model` can decide, reads no clock (every moment is passed in)
//! and wakes nobody: each write returns what became ready, and the engine wakes.

mod store;

mod admission;
mod approvals;
mod eager;
mod jobs;
mod owners;
mod pace;
mod plan;
mod submission;

mod choice;
mod claim;
mod deadlines;
mod depth;
mod idempotency;
mod lanes;
mod look;
mod schedules;
mod take;
mod task_list;
mod tasks;

mod attempts;
mod cancel;
mod redrive;
mod settle;
mod spending;

mod blocks;
mod budgets;
mod charges;
mod governed;
mod receipts;
mod reserve;

mod dependents;

mod checkpoints;
mod events;
mod fallbacks;
mod files;
mod uploads;

mod metrics;
mod stock;

mod hearing;
mod hints;
mod purge;
mod recovery;
mod retention;
mod sessions;

mod doctor;

mod breakers;
mod cache;

mod plugins;
mod quarantine;
mod tokens;
mod tool_rules;
mod tool_runs;

mod audit;
mod cost_policies;
mod notifications;
mod usage;

mod chain;
mod commit;
mod link;
mod notes;
mod standing;
mod sync;
mod write;
mod writer;

mod address;
mod argument;
mod clock;
mod connect;
mod connection;
mod dialect;
mod error;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
mod row;
mod schema;

mod bare;
mod floor;

pub use crate::address::{Address, AddressError, Server};
pub use crate::approvals::{APPROVALS_PER_PAGE_MAX, ApprovalPage, Ruled, Ruling};
pub use crate::attempts::{End, RunSource, Settled, Settlement, ToolRun};
pub use crate::audit::{AuditFilter, AuditPage, LINES_PER_PAGE_MAX};
pub use crate::bare::BareTable;
pub use crate::breakers::{BREAKERS_MAX, BreakerMove, KeptBreaker, Moved};
pub use crate::budgets::{BudgetId, NewBudget};
pub use crate::cache::{CachedResult, NewResult, RESULTS_PER_PAGE_MAX};
pub use crate::cancel::Cancelled;
pub use crate::chain::Chain;
pub use crate::charges::{CHARGES_PER_PURGE_MAX, Charged};
pub use crate::checkpoints::{
    CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX, CHECKPOINTS_PER_PAGE_MAX, Checkpoint, PastCheckpoint,
    VALUES_PER_PAGE_MAX,
};
pub use crate::claim::{HandedOut, PARKED_PER_CLAIM_MAX, PROMOTED_PER_CLAIM_MAX};
pub use crate::cost_policies::{COST_POLICIES_MAX, KeptPolicy};
pub use crate::deadlines::{EXPIRED_PER_CLAIM_MAX, Expired};
pub use crate::depth::{Depth, LaneDepth};
pub use crate::doctor::Examination;
pub use crate::eager::{EagerEnd, EagerJob};
pub use crate::error::StoreError;
pub use crate::events::{EVENTS_PER_PAGE_MAX, History, NewEvent};
pub use crate::files::{FILES_PER_PAGE_MAX, FilePage, NewTaskFile};
pub use crate::floor::Floor;
pub use crate::hints::Hints;
pub use crate::idempotency::Once;
pub use crate::jobs::{JOBS_PER_PAGE_MAX, JobFilter, JobPage};
pub use crate::notifications::Notification;
pub use crate::plan::NewJob;
pub use crate::plugins::PluginRevision;
pub use crate::purge::{Purge, ROWS_PER_SLICE_MAX, Slice};
pub use crate::recovery::{HOST_LOSSES_MAX, Recovered};
pub use crate::redrive::{RedriveChoice, Redriven};
pub use crate::reserve::{Asked, Line, Reserved, Reserving};
pub use crate::retention::RemovedUploads;
pub use crate::schedules::{Due, Fired, NewSchedule, SCHEDULES_PER_PAGE_MAX, SchedulePage};
pub use crate::sessions::SessionId;
pub use crate::spending::{NewCharge, Spending};
pub use crate::standing::Places;
pub use crate::stock::{BudgetSums, PluginCounts, Stock, ToolCounts};
pub use crate::store::Store;
pub use crate::submission::Submitted;
pub use crate::take::Claimed;
pub use crate::task_list::{TASKS_PER_PAGE_MAX, TaskFilter, TaskPage};
pub use crate::tasks::Hold;
pub use crate::tokens::{NewToken, TOKENS_MAX, TOKENS_PER_PAGE_MAX, TokenPage};
pub use crate::uploads::{NewUpload, Removal, Room, UploadPage};
pub use crate::usage::{USAGE_ROWS_PER_PAGE_MAX, UsageFilter, UsagePage};
