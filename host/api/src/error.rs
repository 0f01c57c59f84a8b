//! Why a verb was not done, in the words of a caller.

use apflow_engine::{EngineError, chain};
use apflow_model::access::Permission;
use apflow_model::breaker::BreakerKey;
use apflow_model::id::{FileId, JobId, TaskId};
use apflow_model::limit::Bytes;
use apflow_model::rate::Standing;
use apflow_model::reader::FileFault;

use crate::code::Code;

/// When to try again while too many tasks are open: nobody knows how long the others take, so often
/// enough to meet the next ends, and seldom enough to cost nothing.
const TOO_MANY_TASKS_RETRY_SECONDS: u32 = 10;

/// When to try again at a host that is about to end: by then another takes its place, or it has
/// started anew.
const DRAINING_RETRY_SECONDS: u32 = 5;

/// Why a verb was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The caller may not do this.
    #[error("{operation} needs the permission `{}`", permission.name())]
    Forbidden {
        /// The verb.
        operation: &'static str,
        /// What the caller lacks.
        permission: Permission,
    },
    /// The request cannot be read.
    #[error("{0}")]
    InvalidRequest(String),
    /// A text is no grant.
    #[error("{0}")]
    InvalidGrant(String),
    /// There is no such role.
    #[error("there is no role `{0}`")]
    UnknownRole(String),
    /// There is no such job.
    #[error("there is no job `{0}`")]
    UnknownJob(JobId),
    /// There is no such task.
    #[error("there is no task `{0}`")]
    UnknownTask(TaskId),
    /// Nothing is known against what this breaker guards.
    #[error("nothing is known against `{0}`: `apflow-host breakers list` shows what is not well")]
    UnknownBreaker(BreakerKey),
    /// The task left no such file, or there is no such task.
    #[error("the task `{task}` of the job `{job}` left no file `{name}`")]
    UnknownFile {
        /// The job.
        job: JobId,
        /// The caller's reference to the task.
        task: String,
        /// The path of the file.
        name: String,
    },
    /// No task of the job left such a file, or several did.
    #[error(
        "`{name}` is not what a single task of the job `{job}` left: `/api/v1/jobs/{job}/files` lists \
         what there is, and `…/files/TASK/{name}` says whose it is"
    )]
    UnknownOrSharedFile {
        /// The job.
        job: JobId,
        /// The path of the file.
        name: String,
    },
    /// There is no such upload, or it is another's.
    #[error("there is no file `{0}`")]
    UnknownUpload(FileId),
    /// A component came without a manifest.
    #[error("{0}")]
    MissingManifest(String),
    /// The body has more bytes than it may.
    #[error("the body has more than {}, which is the most that one may have here", Bytes(*.0 as u64))]
    TooLarge(usize),
    /// The answer has no JSON form.
    #[error("the answer has no JSON form")]
    Unserializable(#[source] serde_json::Error),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ApiError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Forbidden { .. } => Code::Forbidden,
            Self::InvalidRequest(_) => Code::InvalidRequest,
            Self::InvalidGrant(_) => Code::InvalidGrant,
            Self::UnknownRole(_) => Code::UnknownRole,
            Self::UnknownJob(_) => Code::UnknownJob,
            Self::UnknownTask(_) => Code::UnknownTask,
            Self::UnknownBreaker(_) => Code::UnknownBreaker,
            Self::UnknownFile { .. }
            | Self::UnknownOrSharedFile { .. }
            | Self::UnknownUpload(_) => Code::UnknownFile,
            Self::MissingManifest(_) => Code::MissingManifest,
            Self::TooLarge(_) => Code::PayloadTooLarge,
            Self::Unserializable(_) => Code::Internal,
            Self::Engine(error) => match error {
                EngineError::InvalidJob(_) => Code::InvalidJob,
                EngineError::InvalidInput(_) => Code::InvalidInput,
                EngineError::UnknownExecutor(_) => Code::UnknownExecutor,
                EngineError::ToolBlocked(_) => Code::ToolBlocked,
                EngineError::UnknownRole(_) | EngineError::OwnTask { .. } => Code::Forbidden,
                EngineError::JobLoop(_) => Code::JobLoop,
                EngineError::IdempotencyConflict(_) => Code::IdempotencyConflict,
                EngineError::RemovedJob(_) => Code::UnknownJob,
                EngineError::Busy => Code::Busy,
                EngineError::Draining => Code::Draining,
                EngineError::InvalidSchedule(_) => Code::InvalidSchedule,
                EngineError::UnknownSchedule(_) => Code::UnknownSchedule,
                EngineError::ScheduleTaken(_) => Code::ScheduleTaken,
                EngineError::UnknownBudget(_) => Code::UnknownBudget,
                EngineError::UnknownPolicy(_) => Code::UnknownPolicy,
                EngineError::PolicyInFile(_) => Code::PolicyInFile,
                EngineError::UnknownToken(_) => Code::UnknownToken,
                EngineError::TooManyTokens => Code::TooManyTokens,
                EngineError::UnknownTask { .. } => Code::UnknownTask,
                EngineError::NotAsked { .. } | EngineError::DecidedOtherwise { .. } => {
                    Code::ApprovalNotPending
                }
                EngineError::JobNotEnded { .. } => Code::JobNotEnded,
                EngineError::UnknownPlugin(_) => Code::UnknownPlugin,
                EngineError::UnknownTool(_) => Code::UnknownTool,
                EngineError::TooManyTasks(_) => Code::TooManyTasks,
                EngineError::RateLimited(_) => Code::RateLimited,
                EngineError::BuiltinPlugin(_) => Code::BuiltinPlugin,
                EngineError::InvalidManifest { .. } => Code::InvalidManifest,
                EngineError::Component { .. } | EngineError::ChangedComponent(_) => {
                    Code::ComponentRefused
                }
                EngineError::InvalidSchema { .. } => Code::InvalidSchema,
                EngineError::GrantNotAsked { .. } => Code::GrantNotAsked,
                EngineError::FileTooLarge(_) => Code::PayloadTooLarge,
                EngineError::InvalidPolicy(_) => Code::InvalidPolicy,
                EngineError::CutShort | EngineError::InvalidUpload(_) => Code::InvalidRequest,
                EngineError::DigestMismatch { .. } => Code::DigestMismatch,
                EngineError::FileQuotaExceeded(_) => Code::FileQuotaExceeded,
                EngineError::FileInUse(_) => Code::FileInUse,
                EngineError::DiskFull => Code::DiskFull,
                EngineError::ConsentNeeded { .. } | EngineError::NotLocked { .. } => {
                    Code::ConsentNeeded
                }
                EngineError::InvalidLock { .. } => Code::InvalidLock,
                EngineError::Locked | EngineError::DatabaseLocked => Code::HostLocked,
                EngineError::Store(error) if error.is_unavailable() => Code::DatabaseUnavailable,
                EngineError::TooManyWatchers(_) => Code::TooManyWatchers,
                EngineError::DataDir { .. } => Code::DataDirUnusable,
                EngineError::Store(_)
                | EngineError::Sandbox(_)
                | EngineError::Background(_)
                | EngineError::NoRandom(_) => Code::Internal,
            },
        }
    }

    /// How many seconds to wait before the same is tried again. None when it is of no use.
    pub fn retry_after(&self) -> Option<u32> {
        if self.code() == Code::TooManyTasks {
            return Some(TOO_MANY_TASKS_RETRY_SECONDS);
        }
        if let Self::Engine(EngineError::RateLimited(too_many)) = self {
            return too_many.retry_after;
        }
        if self.code() == Code::Draining {
            return Some(DRAINING_RETRY_SECONDS);
        }
        // The store empties its lanes, and looks at a database that failed, more often than that.
        matches!(self.code(), Code::Busy | Code::DatabaseUnavailable).then_some(1)
    }

    /// How much is left of the limit that was met, if one was.
    pub fn standing(&self) -> Option<Standing> {
        let Self::Engine(EngineError::RateLimited(too_many)) = self else { return None };
        Some(too_many.standing)
    }

    /// The place in the caller's JSON that is wrong, as a JSON pointer.
    pub fn pointer(&self) -> Option<&str> {
        let Self::Engine(
            EngineError::InvalidJob(fault)
            | EngineError::InvalidSchedule(fault)
            | EngineError::InvalidInput(fault)
            | EngineError::UnknownExecutor(fault)
            | EngineError::ToolBlocked(fault),
        ) = self
        else {
            return None;
        };
        Some(&fault.path)
    }

    /// Every fault of a manifest, or of a lock of grants.
    pub fn faults(&self) -> &[FileFault] {
        let Self::Engine(
            EngineError::InvalidManifest { faults, .. } | EngineError::InvalidLock { faults, .. },
        ) = self
        else {
            return &[];
        };
        faults
    }

    /// What a caller may read: the sentence and its causes, unless they are the host's own.
    pub fn detail(&self) -> String {
        let code = self.code();
        if code == Code::Internal {
            return "the host failed; its log says why".to_owned();
        }
        if code == Code::DatabaseUnavailable {
            return "the database cannot be used at present; the host's log says why".to_owned();
        }
        chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_worth_another_try() {
        let busy = ApiError::Engine(EngineError::Busy);
        assert_eq!((busy.code().status(), busy.retry_after()), (429, Some(1)));
        assert_eq!(ApiError::UnknownJob(JobId(1)).retry_after(), None);
    }
}
