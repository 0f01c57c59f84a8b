//! Progress that outlives the attempt.
//!
//! It does not read the bytes: only the plugin knows what they mean.

use std::collections::HashMap;

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::id::{JobId, TaskId};

use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::write::{Answers, Turn, WriteGroup};

/// The largest checkpoint, its step and value together, in bytes: 1 MiB.
pub const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

/// The most checkpoints one task may hold.
pub const CHECKPOINTS_MAX: u64 = 1_000;

/// The most checkpoints that one page holds, without their values.
pub const CHECKPOINTS_PER_PAGE_MAX: u32 = 1_000;

/// The most checkpoints that one page holds with their values: 16 MiB at most.
pub const VALUES_PER_PAGE_MAX: u32 = 16;

/// A checkpoint in the history of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastCheckpoint {
    /// The place in the task's history, from 1.
    pub n: u64,
    /// The name the step was saved under.
    pub step: String,
    /// The attempt that saved it.
    pub attempt: u32,
    /// When it was saved.
    pub at: Timestamp,
    /// The size of the value in bytes.
    pub bytes: u64,
    /// The value, when it was asked for.
    pub value: Option<Vec<u8>>,
}

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
    /// [`StoreError::TooManyCheckpoints`] after [`CHECKPOINTS_MAX`],
    /// [`StoreError::Corrupt`] when the step holds a NUL character; nothing is stored then.
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
        if step.contains('\0') {
            return Err(StoreError::corrupt("the step of a checkpoint holds a NUL character"));
        }
        let saved = self.write(Save { task, attempt, step, value, now }).await?;
        self.writer().metrics().checkpoints.count();
        Ok(saved)
    }

    /// Loads the newest checkpoint of a task, of whichever attempt.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn load_checkpoint(&self, task: TaskId) -> Result<Option<Checkpoint>, StoreError> {
        const SQL: &str = "SELECT step, attempt, at, value FROM checkpoint \
                           WHERE task_id = $1 ORDER BY n DESC LIMIT 1";
        let newest = self.readers().fetch_optional(query(SQL).bind(task.0)).await?;
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

    /// Lists the checkpoints of a task with a number above `after`, in the order they were saved, at
    /// most `limit` of them, with or without their values. A task that completed has none.
    ///
    /// `limit` is brought into 1 to [`CHECKPOINTS_PER_PAGE_MAX`], or to [`VALUES_PER_PAGE_MAX`] with
    /// values.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_checkpoints(
        &self,
        task: TaskId,
        after: u64,
        limit: u32,
        with_values: bool,
    ) -> Result<Vec<PastCheckpoint>, StoreError> {
        const LIST: &str = "SELECT n, step, attempt, at, CAST(length(value) AS BIGINT) AS bytes FROM checkpoint \
                            WHERE task_id = $1 AND n > $2 ORDER BY n LIMIT $3";
        const LIST_WITH_VALUES: &str = "SELECT n, step, attempt, at, CAST(length(value) AS BIGINT) AS bytes, value FROM checkpoint \
             WHERE task_id = $1 AND n > $2 ORDER BY n LIMIT $3";
        let (sql, most) = if with_values {
            (LIST_WITH_VALUES, VALUES_PER_PAGE_MAX)
        } else {
            (LIST, CHECKPOINTS_PER_PAGE_MAX)
        };
        let list = query(sql).bind(task.0).bind(row::count(after)).bind(limit.clamp(1, most));
        let read = |row: &Row| {
            Ok(PastCheckpoint {
                n: row::number(row, "n")?,
                step: row::column(row, "step")?,
                attempt: row::number(row, "attempt")?,
                at: row::moment(row, "at")?,
                bytes: row::number(row, "bytes")?,
                value: with_values.then(|| row::column(row, "value")).transpose()?,
            })
        };
        self.readers().fetch_all(list).await?.iter().map(read).collect()
    }
}

struct Save {
    task: TaskId,
    attempt: u32,
    step: String,
    value: Vec<u8>,
    now: Timestamp,
}

/// How many checkpoints each of these tasks has.
const COUNT: Sql = sql!(
    "SELECT task_id, max(n) FROM checkpoint \
     WHERE task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) GROUP BY task_id"
);

/// Alone for each, since bytes do not travel in JSON.
const INSERT: &str = "\
    INSERT INTO checkpoint (task_id, n, step, attempt, at, value) VALUES ($1, $2, $3, $4, $5, $6)";

impl WriteGroup for Save {
    type Output = u64;

    const TURN: Turn = Turn::Checkpoint;

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<u64>, StoreError> {
        let held = events::hold(connection, writes.iter().map(|save| (save.task, save.attempt)));
        let held = held.await?;
        let tasks = row::text(&writes.iter().map(|save| save.task.0).collect::<Vec<_>>())?;
        let counts: Vec<(i64, i64)> = query(COUNT).bind(tasks).read_all(connection).await?;
        let mut counts: HashMap<i64, i64> = counts.into_iter().collect();
        let (mut drafts, mut answers) = (Vec::new(), Vec::with_capacity(writes.len()));
        for save in writes {
            let Some(job) = held.get(&(save.task, save.attempt)) else {
                answers.push(Err(StoreError::AttemptLost));
                continue;
            };
            let n = counts.entry(save.task.0).or_default();
            if *n >= row::count(CHECKPOINTS_MAX) {
                let checkpoints_max = CHECKPOINTS_MAX;
                answers.push(Err(StoreError::TooManyCheckpoints { checkpoints_max }));
                continue;
            }
            *n += 1;
            save.insert(*n, connection).await?;
            answers.push(Ok(drafts.len()));
            drafts.push(save.draft(*job));
        }
        let numbers = events::append(connection, drafts).await?;
        let number = |place: usize| numbers.get(place).copied().unwrap_or_default();
        Ok(answers.into_iter().map(|answer| answer.map(number)).collect())
    }
}

impl Save {
    async fn insert(&self, n: i64, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(INSERT)
            .bind(self.task.0)
            .bind(n)
            .bind(&self.step)
            .bind(self.attempt)
            .bind(self.now.unix_ms())
            .bind(self.value.as_slice())
            .execute(connection)
            .await?;
        Ok(())
    }

    fn draft(&self, job: JobId) -> Draft {
        let what =
            Happening::Checkpoint { step: self.step.clone(), bytes: self.value.len() as u64 };
        Draft { job, task: Some(self.task), attempt: self.attempt, at: self.now, what }
    }
}
