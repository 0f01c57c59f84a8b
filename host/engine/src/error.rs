//! What keeps the engine from doing what it was asked.
//!
//! A task that ends badly is no error of the engine: it is the task's fault, and stored with it.

use std::io::ErrorKind;

use apflow_model::approval::Decided;
use apflow_model::budget_key::BudgetKey;
use apflow_model::capability::Grant;
use apflow_model::consent::Difference;
use apflow_model::hops::HopFault;
use apflow_model::id::{FileId, JobId, TaskId, TokenId};
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::job::SpecFault;
use apflow_model::limit::Bytes;
use apflow_model::plugin::Digest;
use apflow_model::rate::TooMany;
use apflow_model::reader::FileFault;
use apflow_model::state::{JobState, TaskState};
use apflow_sandbox::SandboxError;
use apflow_store::StoreError;

/// What keeps the engine from doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The submission itself is wrong. Nothing was stored.
    #[error("{0}")]
    InvalidJob(SpecFault),
    /// A task's inputs do not match its executor's schema. Nothing was stored.
    #[error("{0}")]
    InvalidInput(SpecFault),
    /// A task names an executor that is not installed. Nothing was stored.
    #[error("{0}")]
    UnknownExecutor(SpecFault),
    /// The role of the submitter may not run a tool. Nothing was stored.
    #[error("{0}")]
    ToolBlocked(SpecFault),
    /// There is no role of this name any more. Nothing was stored.
    #[error("the role `{0}` is not known: `apflow-host policies show` lists those there are")]
    UnknownRole(String),
    /// The job came through this host before, or through too many. Nothing was stored.
    #[error("{0}")]
    JobLoop(HopFault),
    /// The key stands for another submission. Nothing was stored.
    #[error("the idempotency key `{0}` was used for another submission: use a new one")]
    IdempotencyConflict(IdempotencyKey),
    /// The key stands for a job that was removed. Nothing was stored.
    #[error("the job `{0}`, for which the idempotency key was used, was removed")]
    RemovedJob(JobId),
    /// More jobs are being submitted than can be written. Nothing was stored.
    #[error("the host has as many submissions to write as it can hold: submit again in a moment")]
    Busy,
    /// The host is about to end. Nothing was stored.
    #[error(
        "the host is about to end and takes no more jobs in: submit to another, or again later"
    )]
    Draining,
    /// The schedule itself is wrong. Nothing was stored.
    #[error("{0}")]
    InvalidSchedule(SpecFault),
    /// There is no schedule of this name, or it is another's.
    #[error("there is no schedule `{0}`: `apflow-host schedules list` shows which there are")]
    UnknownSchedule(String),
    /// The name is that of another's schedule. Nothing was stored.
    #[error("`{0}` is the name of somebody else's schedule: choose another")]
    ScheduleTaken(String),
    /// The principal has no such budget.
    #[error("there is no budget `{0}`: `apflow-host budgets list` shows which there are")]
    UnknownBudget(BudgetKey),
    /// There is no cost policy of this name.
    #[error("there is no cost policy `{0}`: `apflow-host policies list` shows which there are")]
    UnknownPolicy(String),
    /// The cost policy is one of `policies.yaml`. Nothing was changed.
    #[error(
        "`policies.yaml` has the cost policy `{0}`: change it there, under `cost_policies`, or \
         choose another name"
    )]
    PolicyInFile(String),
    /// The cost policy itself is wrong. Nothing was stored.
    #[error("{0}")]
    InvalidPolicy(String),
    /// There is no token of this id, or it is another's.
    #[error("there is no token `{0}`: `apflow-host tokens list` shows which there are")]
    UnknownToken(TokenId),
    /// As many tokens are kept as may be. Nothing was stored.
    #[error("as many tokens are kept as may be: revoke some, and they go 90 days later")]
    TooManyTokens,
    /// The system gives no random numbers for a token.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(String),
    /// The job has no task of this name. Nothing was changed.
    #[error("the job `{job}` has no task `{task}`")]
    UnknownTask {
        /// The job.
        job: JobId,
        /// What should be the id of a task, or the caller's reference to it.
        task: String,
    },
    /// The task waits for no approval. Nothing was changed.
    #[error("`{task}` waits for no approval: it is {state}")]
    NotAsked {
        /// The task.
        task: TaskId,
        /// Where it stands.
        state: TaskState,
    },
    /// The task is the caller's own, so somebody else must approve it. Nothing was changed.
    #[error(
        "`{task}` is of a job of your own, so somebody else must approve it, unless policies.yaml \
         says `may_approve_own: true` of the role `{role}`"
    )]
    OwnTask {
        /// The task.
        task: TaskId,
        /// The role of the caller.
        role: String,
    },
    /// Somebody decided the opposite before. Nothing was changed.
    #[error("`{task}` was {} by {} at {}", earlier.decision, earlier.principal, earlier.at)]
    DecidedOtherwise {
        /// The task.
        task: TaskId,
        /// What was decided.
        earlier: Box<Decided>,
    },
    /// The job has not ended, so it cannot be removed.
    #[error("`{job}` is {state}, and only what has ended can be removed: cancel it first")]
    JobNotEnded {
        /// The job.
        job: JobId,
        /// Where it stands.
        state: JobState,
    },
    /// There is no plugin of this name.
    #[error("there is no plugin `{0}`: `apflow-host plugins list` shows what is installed")]
    UnknownPlugin(String),
    /// There is no tool of this name.
    #[error("{0}")]
    UnknownTool(String),
    /// More tasks would be open than may be. Nothing was stored.
    #[error(transparent)]
    TooManyTasks(StoreError),
    /// More was asked for within a minute than may be. Nothing was done.
    #[error("{0}")]
    RateLimited(TooMany),
    /// The plugin came with the host, so it cannot be removed or replaced.
    #[error("`{0}` came with the host: give your own plugin another name")]
    BuiltinPlugin(String),
    /// The manifest has faults. Nothing was stored.
    #[error("{} is not valid", .file)]
    InvalidManifest {
        /// The name of the file.
        file: String,
        /// Every fault, in the order of the file.
        faults: Vec<FileFault>,
    },
    /// The component was refused. Nothing was stored.
    #[error("{file} was refused")]
    Component {
        /// The name of the file.
        file: String,
        /// Why.
        #[source]
        source: SandboxError,
    },
    /// The file of an installed component is not what was installed.
    #[error("the component of `{0}` was changed by somebody: load it again")]
    ChangedComponent(String),
    /// A schema of the plugin is no JSON Schema, or one that could cost too much. Nothing was stored.
    #[error("the {which} schema of `{plugin}` cannot be used: {reason}")]
    InvalidSchema {
        /// The plugin.
        plugin: String,
        /// `input` or `output`.
        which: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A grant allows something that nobody asks for. Nothing was stored.
    #[error("grant `{grant}` allows something that {asker} does not ask for; it asks for {asked}")]
    GrantNotAsked {
        /// The grant.
        grant: Box<Grant>,
        /// Who should ask for it.
        asker: String,
        /// What is asked for, as a list.
        asked: String,
    },
    /// An uploaded file has more bytes than one may have. Nothing was kept.
    #[error("the file has more than {}, which is the most that one may have", Bytes(*.0))]
    FileTooLarge(u64),
    /// An uploaded file did not come to its end. Nothing was kept.
    #[error("the file was cut short")]
    CutShort,
    /// An upload is not as one must be. Nothing was kept.
    #[error("{0}")]
    InvalidUpload(String),
    /// An uploaded file has other bytes than its caller said. Nothing was kept.
    #[error("`{name}` came with the sha256 {found}, and not {expected} as was said: send it again")]
    DigestMismatch {
        /// The name of the file.
        name: String,
        /// What the caller said.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The caller's uploads would have more files or bytes than they may. Nothing was kept.
    #[error(transparent)]
    FileQuotaExceeded(StoreError),
    /// A job that has not ended names the upload, so it stays.
    #[error("a job that has not ended names `{0}`: wait for its end, or cancel it")]
    FileInUse(FileId),
    /// No more can be written to the disk of the data directory.
    #[error("the disk of the data directory is full")]
    DiskFull,
    /// A plugin asks for more than the one of its name that is installed. Nothing was stored.
    #[error(
        "`{plugin}` asks for more than its version {before}, which is installed:{difference}\n\
         {consents}"
    )]
    ConsentNeeded {
        /// The plugin.
        plugin: String,
        /// The version that is installed.
        before: String,
        /// What is asked for, compared with what was.
        difference: Box<Difference>,
        /// How the operator can consent.
        consents: String,
    },
    /// A reviewed lock does not allow this plugin as it is. Nothing was stored.
    #[error("{file} does not allow this `{plugin}`: {why}")]
    NotLocked {
        /// The lock.
        file: String,
        /// The plugin.
        plugin: String,
        /// What is different.
        why: String,
    },
    /// A lock has faults: it allows nothing.
    #[error("{file} is not valid")]
    InvalidLock {
        /// The lock.
        file: String,
        /// Every fault, in the order of the file.
        faults: Vec<FileFault>,
    },
    /// As many watch jobs already as may. Nothing is watched.
    #[error("{0} watchers are watching already, which is the most: try again later")]
    TooManyWatchers(usize),
    /// Another process dispatches on this data directory.
    #[error(
        "another apflow-host works on this data directory: submit over its HTTP API, stop it, or \
         set `APFLOW_DATA_DIR` to another folder"
    )]
    Locked,
    /// Another process dispatches the tasks of this database.
    #[error(
        "another apflow-host runs the tasks of this database: submit over its HTTP API, stop it, or \
         set `DATABASE_URL` to another database"
    )]
    DatabaseLocked,
    /// The data directory cannot be used.
    #[error("the data directory cannot be used: {what}")]
    DataDir {
        /// Which part of it.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The store refused.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The sandbox cannot work at all.
    #[error("the sandbox failed")]
    Sandbox(#[source] SandboxError),
    /// A thread of the host ended unexpectedly.
    #[error("a background task ended unexpectedly")]
    Background(#[from] tokio::task::JoinError),
}

impl EngineError {
    /// What the sandbox says of a component. `file` is what to call it.
    pub(crate) fn of_component(file: &str, source: SandboxError) -> Self {
        if source.is_own() {
            return Self::Sandbox(source);
        }
        Self::Component { file: file.to_owned(), source }
    }

    /// What the store says of a submission.
    pub(crate) fn of_submission(error: StoreError) -> Self {
        if matches!(error, StoreError::TooManyTasks { .. }) {
            return Self::TooManyTasks(error);
        }
        if matches!(error, StoreError::Busy) { Self::Busy } else { Self::Store(error) }
    }

    /// What the store says of an upload.
    pub(crate) fn of_upload(error: StoreError) -> Self {
        if matches!(error, StoreError::QuotaExceeded { .. }) {
            return Self::FileQuotaExceeded(error);
        }
        Self::Store(error)
    }

    /// What the system says of the files in the data directory.
    pub(crate) fn of_disk(source: std::io::Error) -> Self {
        let is_full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        if is_full {
            Self::DiskFull
        } else {
            Self::DataDir { what: "its files".to_owned(), source }
        }
    }

    /// The same error, where what is wrong stands at `path` of what was handed in.
    pub(crate) fn below(self, path: &str) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others have no place in it")]
        match self {
            Self::InvalidJob(fault) => Self::InvalidJob(fault.below(path)),
            Self::InvalidInput(fault) => Self::InvalidInput(fault.below(path)),
            Self::UnknownExecutor(fault) => Self::UnknownExecutor(fault.below(path)),
            Self::ToolBlocked(fault) => Self::ToolBlocked(fault.below(path)),
            other => other,
        }
    }

    /// Whether it is trouble of the host's own, which may pass, and not what was asked of it.
    pub(crate) fn is_own(&self) -> bool {
        matches!(
            self,
            Self::Store(_)
                | Self::Sandbox(_)
                | Self::Background(_)
                | Self::DataDir { .. }
                | Self::DiskFull
        )
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
