//! What keeps the store from doing what was asked.
//!
//! A row that is not there is no error: the `find_…` functions return `None`.

use std::sync::Arc;

/// What keeps the store from doing what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another attempt has taken the task over, or it has ended: nothing this one does counts.
    #[error("the attempt no longer holds its task")]
    AttemptLost,
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
    /// The file was last written by a newer version of the host.
    #[error(
        "the database has schema {found}, but this version knows only up to {known}: \
         install a newer `apflow-host`, or restore a backup from before its upgrade"
    )]
    SchemaTooNew {
        /// The schema of the file.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// The store was closed, or its writer has ended.
    #[error("the store is closed")]
    Closed,
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
        Self::Database(Arc::new(error))
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
}
