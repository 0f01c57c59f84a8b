//! Removes jobs that have ended, with everything they left, in small slices.
//!
//! A job is marked first: from then on nobody sees it. Its rows go in commits of at most
//! [`ROWS_PER_SLICE_MAX`] rows each, its own last; whatever cuts that short, the next slice goes on.
//! It removes no files: those of a job go once its row is gone.

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::state::JobState;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// The most rows that one commit of a purge removes or marks.
pub const ROWS_PER_SLICE_MAX: u32 = 1_000;

/// The most jobs that one slice works on: about as many small ones as it has rows for.
const JOBS_PER_SLICE_MAX: u32 = 100;

/// What became of the wish to remove a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// It is gone for everybody. Its rows go by [`Store::purge_slice`].
    Begun,
    /// It has not ended, so it stays.
    NotEnded(JobState),
    /// There is no such job.
    Unknown,
}

/// What one slice removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    /// How many rows, from 0 to [`ROWS_PER_SLICE_MAX`].
    pub rows: u64,
    /// The jobs of which no row is left.
    pub jobs: Vec<JobId>,
    /// Whether nothing is left to be removed.
    pub is_last: bool,
}

impl Store {
    /// Marks a job as removed, if it has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn purge_job(&self, job: JobId, now: Timestamp) -> Result<Purge, StoreError> {
        self.write(MarkJob { job, now }).await
    }

    /// Marks jobs as removed that ended in `state` before `before`, those first that ended first.
    ///
    /// Returns how many, from 0 to [`ROWS_PER_SLICE_MAX`]: there may be more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn purge_ended(
        &self,
        state: JobState,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(MarkEnded { state, before, now }).await
    }

    /// Removes the next rows of jobs that are marked: of `only`, or of those marked first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is removed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn purge_slice(&self, only: Option<JobId>) -> Result<Slice, StoreError> {
        self.write(RemoveSlice { only }).await
    }
}

struct MarkJob {
    job: JobId,
    now: Timestamp,
}

const MARK_JOB: &str = "\
    UPDATE job SET purged_at = $2 \
    WHERE id = $1 AND ended_at IS NOT NULL AND purged_at IS NULL RETURNING id";

const SHOW_STATE: &str = "SELECT state FROM job WHERE id = $1 AND purged_at IS NULL";

impl Write for MarkJob {
    type Output = Purge;

    fn is_change(purge: &Purge) -> bool {
        matches!(purge, Purge::Begun)
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Purge, StoreError> {
        let mark = query(MARK_JOB).bind(self.job.0).bind(self.now.unix_ms());
        if mark.fetch_optional(connection).await?.is_some() {
            return Ok(Purge::Begun);
        }
        let state = query(SHOW_STATE).bind(self.job.0);
        let state: Option<(String,)> = state.read_optional(connection).await?;
        let Some((state,)) = state else { return Ok(Purge::Unknown) };
        Ok(Purge::NotEnded(state.parse().map_err(StoreError::corrupt)?))
    }
}

struct MarkEnded {
    state: JobState,
    before: Timestamp,
    now: Timestamp,
}

const MARK_ENDED: &str = "\
    UPDATE job SET purged_at = $3 WHERE id IN ( \
      SELECT id FROM job WHERE state = $1 AND ended_at < $2 AND purged_at IS NULL \
      ORDER BY ended_at LIMIT $4)";

impl Write for MarkEnded {
    type Output = u64;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let marked = query(MARK_ENDED)
            .bind(self.state.name())
            .bind(self.before.unix_ms())
            .bind(self.now.unix_ms())
            .bind(ROWS_PER_SLICE_MAX);
        Ok(marked.execute(connection).await?)
    }
}

struct RemoveSlice {
    only: Option<JobId>,
}

const MARKED: &str =
    "SELECT id FROM job WHERE purged_at IS NOT NULL ORDER BY purged_at, id LIMIT $1";

const IS_MARKED: &str = "SELECT id FROM job WHERE id = $1 AND purged_at IS NOT NULL";

/// Removes rows of a table that belong to tasks of the jobs `$1`, at most `$2`.
macro_rules! rows_of_tasks {
    ($table:literal, $key:literal) => {
        sql!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM task JOIN ",
            $table,
            " ON ",
            $table,
            ".task_id = task.id WHERE task.job_id IN (SELECT CAST(value AS BIGINT) FROM ",
            ROWS,
            " AS given) LIMIT $2)"
        )
    };
}

/// Removes rows of a table whose column `$large` may be large: as [`rows_of_tasks`], and no more
/// than 8 MiB of them beside the first. Their sizes are known without reading them.
macro_rules! large_rows_of_tasks {
    ($table:literal, $key:literal, $large:literal) => {
        sql!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM (SELECT ",
            $key,
            ", sum(bytes) OVER (ORDER BY ",
            $key,
            ") - bytes AS bytes_before FROM (SELECT ",
            $key,
            ", octet_length(",
            $large,
            ") AS bytes FROM task JOIN ",
            $table,
            " ON ",
            $table,
            ".task_id = task.id WHERE task.job_id IN (SELECT CAST(value AS BIGINT) FROM ",
            ROWS,
            " AS given) LIMIT $2) AS next) AS measured WHERE bytes_before < 8388608)"
        )
    };
}

/// What hangs on jobs, in the order it goes.
const PARTS: [Sql; 10] = [
    sql!(
        "DELETE FROM event WHERE (job_id, n) IN (SELECT job_id, n FROM event \
         WHERE job_id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given) LIMIT $2)"
    ),
    large_rows_of_tasks!("checkpoint", "task_id, n", "value"),
    large_rows_of_tasks!("task_output", "task_id", "body"),
    large_rows_of_tasks!("task_input", "task_id", "body"),
    rows_of_tasks!("task_file", "task_file.id"),
    rows_of_tasks!("task_upload", "task_upload.task_id, task_upload.upload_id"),
    rows_of_tasks!("dependency", "dependency.dependency_id, dependency.task_id"),
    rows_of_tasks!("approval", "approval.task_id, approval.tool"),
    rows_of_tasks!("attempt", "attempt.task_id, attempt.n"),
    // Whatever was too large for this slice stays, and its task with it.
    sql!(
        "DELETE FROM task WHERE id IN (SELECT id FROM task \
         WHERE job_id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given) \
           AND NOT EXISTS (SELECT 1 FROM checkpoint WHERE task_id = task.id) \
           AND NOT EXISTS (SELECT 1 FROM task_output WHERE task_id = task.id) \
           AND NOT EXISTS (SELECT 1 FROM task_input WHERE task_id = task.id) LIMIT $2)"
    ),
];

const REMOVE_JOBS: Sql = sql!(
    "DELETE FROM job WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND NOT EXISTS (SELECT 1 FROM task WHERE job_id = job.id) RETURNING id"
);

impl Write for RemoveSlice {
    type Output = Slice;

    const TURN: Turn = Turn::Purge;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Slice, StoreError> {
        let jobs = match self.only {
            Some(job) => query(IS_MARKED).bind(job.0),
            None => query(MARKED).bind(JOBS_PER_SLICE_MAX),
        };
        let jobs: Vec<(i64,)> = jobs.read_all(connection).await?;
        if jobs.is_empty() {
            return Ok(Slice { is_last: true, ..Slice::default() });
        }
        let ids = row::text(&jobs.iter().map(|(id,)| id).collect::<Vec<_>>())?;
        // Room is kept for the rows of the jobs themselves.
        let rows_max = u64::from(ROWS_PER_SLICE_MAX - JOBS_PER_SLICE_MAX);
        let mut left = rows_max;
        for part in PARTS {
            if left == 0 {
                return Ok(Slice { rows: rows_max, ..Slice::default() });
            }
            let part = query(part).bind(&ids).bind(row::count(left));
            left -= part.execute(connection).await?.min(left);
        }
        let gone: Vec<(i64,)> = query(REMOVE_JOBS).bind(&ids).read_all(connection).await?;
        let rows = rows_max - left + gone.len() as u64;
        let jobs = gone.into_iter().map(|(id,)| JobId(id)).collect();
        Ok(Slice { rows, jobs, is_last: false })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::address::Address;
    use crate::connection::Either;

    /// However much is kept, a slice looks only at what goes.
    #[tokio::test]
    async fn what_goes_is_found_by_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let Either::Sqlite(readers) = store.readers() else { panic!("it is a file") };
        let singles = [MARK_JOB, MARK_ENDED, MARKED, IS_MARKED].map(Sql::from);
        for sql in singles.into_iter().chain(PARTS).chain([REMOVE_JOBS]) {
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.sqlite)));
            let rows = plan.fetch_all(readers).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            // The rows that were picked, and the ids that were handed in.
            let is_bounded = |step: &str| {
                ["given", "next", "measured", "(subquery", "CONSTANT"]
                    .iter()
                    .any(|name| step.contains(name))
            };
            let scan = steps.iter().find(|step| step.starts_with("SCAN") && !is_bounded(step));
            let uses_index = |step: &&String| step.contains("job_purged") && step.contains("INDEX");
            let scan = scan.filter(|step| !uses_index(step));
            assert!(scan.is_none(), "{}: {steps:?}", sql.sqlite);
        }
    }
}
