//! What keeps the store from doing what was asked.
//!
//! A row that is not there is no error: the `find_…` functions return `None`.

use std::sync::Arc;

use apflow_model::file::Quota;
use apflow_model::limit::Bytes;

use crate::address::{Address, AddressError};
use crate::dialect::Trouble;

/// What keeps the store from doing what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another attempt has taken the task over, or it has ended: nothing this one does counts.
    #[error("the attempt no longer holds its task")]
    AttemptLost,
    /// The lease of the session has ended, and others may have taken its tasks up: it claims
    /// nothing any more.
    #[error("the session has lost its lease")]
    SessionLost,
    /// The step and its value are larger than one checkpoint may be. Nothing was stored.
    #[error("the checkpoint has {bytes} bytes, but may have at most {bytes_max}")]
    CheckpointTooLarge {
        /// The size of both together.
        bytes: u64,
        /// The most it may have: [`crate::CHECKPOINT_BYTES_MAX`].
        bytes_max: u64,
    },
    /// The task holds as many checkpoints as it may. Nothing was stored.
    #[error("the task has {checkpoints_max} checkpoints already, which is the most it may have")]
    TooManyCheckpoints {
        /// The most it may have: [`crate::CHECKPOINTS_MAX`].
        checkpoints_max: u64,
    },
    /// The key of a submission stands for another one. Nothing was stored.
    #[error("the idempotency key stands for another submission")]
    IdempotencyConflict,
    /// More jobs are being submitted than can be written. Nothing was stored.
    #[error("more jobs are being submitted than can be written")]
    Busy,
    /// With the job's tasks, more would be open than may be. Nothing was stored.
    #[error(
        "{open} tasks{} have not ended, and at most {open_max} may wait and run: submit these \
         {tasks} again when others have ended", of_whom(principal.as_deref())
    )]
    TooManyTasks {
        /// How many tasks the job has.
        tasks: u64,
        /// How many are open already.
        open: u64,
        /// How many may be open.
        open_max: u64,
        /// Whose tasks were counted. None for those of all principals.
        principal: Option<String>,
    },
    /// The caller's uploads would have more files or bytes than they may. Nothing was stored.
    #[error(
        "the uploads of the caller have {files} files and {} already, of {} files and {} that they \
         may have: delete some", Bytes(*bytes), quota.files_max, Bytes(quota.bytes_max)
    )]
    QuotaExceeded {
        /// How many files there are, those that come in included.
        files: u64,
        /// How many bytes they have.
        bytes: u64,
        /// How many there may be.
        quota: Quota,
    },
    /// The database was last written by a newer version of the host.
    #[error(
        "the database has schema {found}, but this version knows only up to {known}: \
         install a newer `apflow-host`, or restore a backup from before its upgrade"
    )]
    SchemaTooNew {
        /// The schema of the database.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// The store was closed, or its writer has ended.
    #[error("the store is closed")]
    Closed,
    /// What should be the address of a database is none.
    #[error("the address of the database in `DATABASE_URL` is not valid")]
    InvalidAddress(#[from] AddressError),
    /// The database cannot be opened.
    #[error("the database `{address}` cannot be opened")]
    Unopened {
        /// Where it is, without a password.
        address: String,
        /// Why.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// Nothing can be written or read at present: the disk is full or fails, the file is locked,
    /// or the server does not answer. It may pass by itself.
    #[error("the database cannot be used at present")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database itself refused. Shared, since one failed commit fails every write in it.
    #[error("the database refused")]
    Database(#[source] Arc<sqlx::Error>),
    /// The schema could not be brought up to date.
    #[error("the database could not be brought to this version's schema")]
    Migration(#[source] Arc<sqlx::migrate::MigrateError>),
    /// A row holds something that cannot be read, or would hold it if it were stored.
    #[error("a row of the database cannot be read: {what}")]
    Corrupt {
        /// Which column or value, and what is wrong with it.
        what: String,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolClosed) {
            return Self::Closed;
        }
        match Trouble::of(&error) {
            Trouble::Lost | Trouble::Unavailable => Self::Unavailable(Arc::new(error)),
            Trouble::Conflict | Trouble::Refused => Self::Database(Arc::new(error)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(Arc::new(error))
    }
}

impl StoreError {
    /// A row that cannot be read, or could not be.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// A database that could be opened, and that no connection can be made to now, whatever the
    /// reason.
    pub(crate) fn unreachable(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolClosed) {
            return Self::Closed;
        }
        Self::Unavailable(Arc::new(error))
    }

    /// A database that cannot be opened.
    pub(crate) fn unopened(address: &Address) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Unopened { address: address.to_string(), source: Arc::new(source) }
    }

    /// Whether a write was refused before it changed anything.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::AttemptLost
                | Self::SessionLost
                | Self::CheckpointTooLarge { .. }
                | Self::TooManyCheckpoints { .. }
                | Self::IdempotencyConflict
                | Self::TooManyTasks { .. }
                | Self::QuotaExceeded { .. }
        )
    }

    /// Whether it is the database as a whole that cannot be used, be it for now or by its address.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::InvalidAddress(_) | Self::Unopened { .. }) || self.is_temporary()
    }

    /// Whether every write fails for now, and may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// What it means for what comes next, when it comes from the database.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Database(error) => Some(Trouble::of(error)),
            Self::Unavailable(error) if Trouble::of(error) == Trouble::Lost => Some(Trouble::Lost),
            Self::Unavailable(_) => Some(Trouble::Unavailable),
            Self::AttemptLost
            | Self::SessionLost
            | Self::CheckpointTooLarge { .. }
            | Self::TooManyCheckpoints { .. }
            | Self::IdempotencyConflict
            | Self::Busy
            | Self::TooManyTasks { .. }
            | Self::SchemaTooNew { .. }
            | Self::Closed
            | Self::InvalidAddress(_)
            | Self::Unopened { .. }
            | Self::Migration(_)
            | Self::QuotaExceeded { .. }
            | Self::Corrupt { .. } => None,
        }
    }
}

fn of_whom(principal: Option<&str>) -> String {
    principal.map(|name| format!(" of `{name}`")).unwrap_or_default()
}
