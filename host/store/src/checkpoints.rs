//! Progress that outlives the attempt.
//!
//! It does not read the bytes: only the plugin knows what they mean.

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::id::TaskId;
use sqlx::{SqliteConnection, query, query_as};

use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::writer::Write;

/// The largest checkpoint, its step and value together, in bytes: 1 MiB.
pub const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

/// The most checkpoints one task may hold.
pub const CHECKPOINTS_MAX: u64 = 1_000;

/// A checkpoint as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name the step was saved under.
    pub step: String,
    /// The attempt that saved it.
    pub attempt: u32,
    /// When it was saved.
    pub at: Timestamp,
    /// The bytes that were saved.
    pub value: Vec<u8>,
}

impl Store {
    /// Saves the newest checkpoint of a task, and says so in the job's history.
    ///
    /// When this returns, it survives a crash. Returns the number of its event.
    ///
    /// # Errors
    ///
    /// [`StoreError::AttemptLost`] when the attempt no longer holds the task,
    /// [`StoreError::CheckpointTooLarge`] over [`CHECKPOINT_BYTES_MAX`] and
    /// [`StoreError::TooManyCheckpoints`] after [`CHECKPOINTS_MAX`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn save_checkpoint(
        &self,
        task: TaskId,
        attempt: u32,
        step: String,
        value: Vec<u8>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let bytes = (step.len() as u64).saturating_add(value.len() as u64);
        if bytes > CHECKPOINT_BYTES_MAX {
            let bytes_max = CHECKPOINT_BYTES_MAX;
            return Err(StoreError::CheckpointTooLarge { bytes, bytes_max });
        }
        self.write(Save { task, attempt, step, value, now }).await
    }

    /// Loads the newest checkpoint of a task, of whichever attempt.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn load_checkpoint(&self, task: TaskId) -> Result<Option<Checkpoint>, StoreError> {
        const SQL: &str = "SELECT step, attempt, at, value FROM checkpoint \
                           WHERE task_id = $1 ORDER BY n DESC LIMIT 1";
        let newest = query(SQL).bind(task.0).fetch_optional(self.readers()).await?;
        let read = |row| {
            Ok(Checkpoint {
                step: row::column(row, "step")?,
                attempt: row::number(row, "attempt")?,
                at: row::moment(row, "at")?,
                value: row::column(row, "value")?,
            })
        };
        newest.as_ref().map(read).transpose()
    }
}

struct Save {
    task: TaskId,
    attempt: u32,
    step: String,
    value: Vec<u8>,
    now: Timestamp,
}

impl Write for Save {
    type Output = u64;

    async fn apply(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        const LAST: &str = "SELECT coalesce(max(n), 0) FROM checkpoint WHERE task_id = $1";
        const INSERT: &str = "INSERT INTO checkpoint (task_id, n, step, attempt, at, value) \
                              VALUES ($1, $2, $3, $4, $5, $6)";
        let job = events::hold(connection, self.task, self.attempt).await?;
        let (last,): (i64,) = query_as(LAST).bind(self.task.0).fetch_one(&mut *connection).await?;
        if last >= row::count(CHECKPOINTS_MAX) {
            return Err(StoreError::TooManyCheckpoints { checkpoints_max: CHECKPOINTS_MAX });
        }
        let bytes = self.value.len() as u64;
        query(INSERT)
            .bind(self.task.0)
            .bind(last + 1)
            .bind(&self.step)
            .bind(self.attempt)
            .bind(self.now.unix_ms())
            .bind(&self.value)
            .execute(&mut *connection)
            .await?;
        let (task, attempt, at) = (self.task, self.attempt, self.now);
        let what = Happening::Checkpoint { step: self.step.clone(), bytes };
        events::append(connection, job, vec![Draft { job, task, attempt, at, what }]).await
    }
}
