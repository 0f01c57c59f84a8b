//! Removes what is over and belongs to no job: uploads, checkpoints and unused pages.
//!
//! It does not decide how long anything is kept: each moment is passed in.

use apflow_model::clock::Timestamp;
use apflow_model::plugin::Digest;

use crate::connection::{Connection, Either, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::purge::ROWS_PER_SLICE_MAX;
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// How many tasks lose their checkpoints in one commit.
const TASKS_PER_SLICE_MAX: u32 = 100;

/// Uploads that were removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemovedUploads {
    /// How many, from 0 to [`ROWS_PER_SLICE_MAX`]: there may be more.
    pub uploads: u64,
    /// The bytes that no upload is left of.
    pub unused: Vec<Digest>,
}

impl Store {
    /// Removes uploads that came, and were last named by a job, before `before`, and that no open
    /// job names.
    ///
    /// The same bytes must not be uploaded again before their file is removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is removed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn remove_uploads(&self, before: Timestamp) -> Result<RemovedUploads, StoreError> {
        self.write(RemoveUploads { before }).await
    }

    /// Drops checkpoints of tasks that completed before `before`: at most [`ROWS_PER_SLICE_MAX`],
    /// and about 8 MiB of them. Returns how many: there may be more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is dropped then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn drop_checkpoints(&self, before: Timestamp) -> Result<u64, StoreError> {
        let tasks = query(CHECKPOINTED).bind(before.unix_ms()).bind(TASKS_PER_SLICE_MAX);
        let tasks: Vec<(i64,)> = self.readers().read_all(tasks).await?;
        if tasks.is_empty() {
            return Ok(0);
        }
        self.write(DropCheckpoints { tasks: tasks.into_iter().map(|(id,)| id).collect() }).await
    }

    /// Gives unused pages of a file back to the file system, 250 at most. Returns how many are
    /// left. A server does so by itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn give_back_pages(&self) -> Result<u64, StoreError> {
        match self.readers() {
            Either::Sqlite(_) => self.write(GiveBackPages).await,
            Either::Postgres(_) => Ok(0),
        }
    }
}

struct RemoveUploads {
    before: Timestamp,
}

const REMOVE_UPLOADS: &str = "\
    DELETE FROM upload WHERE id IN ( \
      SELECT id FROM upload WHERE used_at < $1 AND NOT EXISTS ( \
        SELECT 1 FROM task_upload JOIN task ON task.id = task_upload.task_id \
        JOIN job ON job.id = task.job_id \
        WHERE task_upload.upload_id = upload.id AND job.ended_at IS NULL) \
      ORDER BY used_at LIMIT $2) \
    RETURNING sha256";

const UNUSED_DIGESTS: Sql = sql!(
    "SELECT DISTINCT value->>0 FROM ",
    ROWS,
    " AS removed WHERE NOT EXISTS (SELECT 1 FROM upload WHERE sha256 = removed.value->>0)"
);

impl Write for RemoveUploads {
    type Output = RemovedUploads;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<RemovedUploads, StoreError> {
        let removed = query(REMOVE_UPLOADS).bind(self.before.unix_ms()).bind(ROWS_PER_SLICE_MAX);
        let removed: Vec<(String,)> = removed.read_all(connection).await?;
        let uploads = removed.len() as u64;
        let unused = query(UNUSED_DIGESTS).bind(row::text(&removed)?);
        let unused: Vec<(String,)> = unused.read_all(connection).await?;
        let digest = |(digest,): &(String,)| digest.parse().map_err(StoreError::corrupt);
        Ok(RemovedUploads { uploads, unused: unused.iter().map(digest).collect::<Result<_, _>>()? })
    }
}

/// Read before the writer is asked: old checkpoints of tasks that have not completed are many.
const CHECKPOINTED: &str = "\
    SELECT DISTINCT checkpoint.task_id FROM checkpoint JOIN task ON task.id = checkpoint.task_id \
    WHERE checkpoint.at < $1 AND task.state = 8 AND task.ended_at < $1 LIMIT $2";

struct DropCheckpoints {
    tasks: Vec<i64>,
}

const DROP_CHECKPOINTS: Sql = sql!(
    "\
    DELETE FROM checkpoint WHERE (task_id, n) IN (SELECT task_id, n FROM ( \
      SELECT task_id, n, sum(bytes) OVER (ORDER BY task_id, n) - bytes AS bytes_before FROM ( \
        SELECT task_id, n, octet_length(checkpoint.value) AS bytes FROM checkpoint \
        JOIN task ON task.id = checkpoint.task_id WHERE task.state = 8 AND task.id IN ( \
          SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) LIMIT $2) AS next) AS measured WHERE bytes_before < 8388608)"
);

impl Write for DropCheckpoints {
    type Output = u64;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let drop = query(DROP_CHECKPOINTS).bind(row::text(&self.tasks)?).bind(ROWS_PER_SLICE_MAX);
        Ok(drop.execute(connection).await?)
    }
}

const UNUSED_PAGES: &str = "SELECT freelist_count FROM pragma_freelist_count";

struct GiveBackPages;

impl Write for GiveBackPages {
    type Output = u64;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let (before,): (i64,) = query(UNUSED_PAGES).read_one(connection).await?;
        // It makes no row, and takes one step a page.
        query(GIVE_BACK).fetch_all(connection).await?;
        let (after,): (i64,) = query(UNUSED_PAGES).read_one(connection).await?;
        // A file that was made without `auto_vacuum` gives nothing back.
        Ok(if after < before { after.unsigned_abs() } else { 0 })
    }
}

const GIVE_BACK: &str = "PRAGMA incremental_vacuum(250)";
