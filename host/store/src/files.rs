//! The rows of files that tasks left.
//!
//! It does not hold their bytes: those are files of the data directory.

use std::collections::HashSet;

use apflow_model::file::TaskFile;
use apflow_model::id::{JobId, TaskId};

use crate::connection::{Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;

/// The most files one page holds.
pub const FILES_PER_PAGE_MAX: u32 = 1_000;

/// A file that a completed task left, to be stored with its settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTaskFile {
    /// Its path below `/out`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A page of files, in the order they were stored.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePage {
    /// The files.
    pub files: Vec<TaskFile>,
    /// What to pass as `after` for the next page. None on the last one.
    pub next: Option<i64>,
}

impl Store {
    /// Lists the files of a job's tasks that come after `after`.
    ///
    /// `limit` is brought into 1 to [`FILES_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_files(
        &self,
        job: JobId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<FilePage, StoreError> {
        const SQL: &str = "SELECT task_file.*, task.reference FROM task \
                           JOIN task_file ON task_file.task_id = task.id \
                           WHERE task.job_id = $1 AND task_file.id > $2 \
                           ORDER BY task_file.id LIMIT $3";
        let limit = limit.clamp(1, FILES_PER_PAGE_MAX);
        let after = after.unwrap_or(0);
        let rows =
            self.readers().fetch_all(query(SQL).bind(job.0).bind(after).bind(limit + 1)).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows.get(wanted.saturating_sub(1)).filter(|_| rows.len() > wanted);
        let next = last.map(|row| row::column(row, "id")).transpose()?;
        let files = rows.iter().take(wanted).map(read_file).collect::<Result<_, _>>()?;
        Ok(FilePage { files, next })
    }

    /// Finds a file that a task left, by the caller's reference to the task and the file's path. Without
    /// a reference it is found when no other task of the job left one of that path.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_file(
        &self,
        job: JobId,
        task: Option<&str>,
        name: &str,
    ) -> Result<Option<TaskFile>, StoreError> {
        const SQL: &str = "SELECT task_file.*, task.reference FROM task \
                           JOIN task_file ON task_file.task_id = task.id AND task_file.name = $2 \
                           WHERE task.job_id = $1 AND task.reference = $3";
        const OF_ANY: &str = "SELECT task_file.*, task.reference FROM task \
                              JOIN task_file ON task_file.task_id = task.id \
                                AND task_file.name = $2 \
                              WHERE task.job_id = $1 LIMIT 2";
        let find = query(if task.is_some() { SQL } else { OF_ANY }).bind(job.0).bind(name);
        let find = match task {
            Some(task) => find.bind(task),
            None => find,
        };
        let found = self.readers().fetch_all(find).await?;
        let [only] = found.as_slice() else { return Ok(None) };
        read_file(only).map(Some)
    }

    /// The dependencies of a task that left files, with the caller's references to them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn dependencies_with_files(
        &self,
        task: TaskId,
    ) -> Result<Vec<(TaskId, String)>, StoreError> {
        const SQL: &str = "SELECT upstream.id, upstream.reference FROM dependency \
                           JOIN task AS upstream ON upstream.id = dependency.dependency_id \
                           WHERE dependency.task_id = $1 AND EXISTS \
                             (SELECT 1 FROM task_file WHERE task_file.task_id = upstream.id) \
                           ORDER BY upstream.id";
        let rows: Vec<(i64, String)> = self.readers().read_all(query(SQL).bind(task.0)).await?;
        Ok(rows.into_iter().map(|(id, reference)| (TaskId(id), reference)).collect())
    }

    /// Whether a task may still leave files: it has not ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn may_leave_files(&self, task: TaskId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM task WHERE id = $1 AND state < 8";
        Ok(self.readers().fetch_optional(query(SQL).bind(task.0)).await?.is_some())
    }

    /// Every task that left files.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn tasks_with_files(&self) -> Result<HashSet<TaskId>, StoreError> {
        const SQL: &str = "SELECT DISTINCT task_id FROM task_file";
        let rows: Vec<(i64,)> = self.readers().read_all(query(SQL)).await?;
        Ok(rows.into_iter().map(|(id,)| TaskId(id)).collect())
    }
}

fn read_file(row: &Row) -> Result<TaskFile, StoreError> {
    Ok(TaskFile {
        task_id: TaskId(row::column(row, "task_id")?),
        task: row::column(row, "reference")?,
        name: row::column(row, "name")?,
        size: row::number(row, "size")?,
    })
}

/// Stores the files that tasks left: rows of their task, name and size.
pub(crate) const INSERT: Sql = sql!(
    "INSERT INTO task_file (task_id, name, size) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT) FROM ",
    ROWS,
    " AS given"
);
