//! The rows of files: what callers uploaded, and what tasks left.
//!
//! It does not hold their bytes: those are files of the data directory.

use std::collections::HashSet;

use apflow_model::clock::Timestamp;
use apflow_model::file::{TaskFile, Upload};
use apflow_model::id::{FileId, JobId, TaskId};
use apflow_model::plugin::Digest;

use crate::chain;
use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::Write;

/// The most files one page holds.
pub const FILES_PER_PAGE_MAX: u32 = 1_000;

/// An uploaded file to be stored. Its bytes are in place already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// The name that a task finds it under.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The sha256 of its bytes.
    pub sha256: Digest,
    /// Who uploaded it.
    pub principal: String,
}

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
    /// Stores the row of an uploaded file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn add_upload(&self, new: NewUpload, now: Timestamp) -> Result<Upload, StoreError> {
        let id = self.ids(now, 1)[0];
        chain::name_target(FileId(id));
        let NewUpload { name, size, sha256, principal } = new;
        let upload = Upload { id: FileId(id), name, size, sha256, principal, created_at: now };
        self.write(AddUpload(upload.clone())).await?;
        Ok(upload)
    }

    /// Finds an uploaded file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_upload(&self, id: FileId) -> Result<Option<Upload>, StoreError> {
        const SQL: &str = "SELECT * FROM upload WHERE id = $1";
        let found = self.readers().fetch_optional(query(SQL).bind(id.0)).await?;
        found.as_ref().map(read_upload).transpose()
    }

    /// The sha256 of every uploaded file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn uploaded_digests(&self) -> Result<HashSet<Digest>, StoreError> {
        const SQL: &str = "SELECT DISTINCT sha256 FROM upload";
        let rows: Vec<(String,)> = self.readers().read_all(query(SQL)).await?;
        rows.iter().map(|(digest,)| digest.parse().map_err(StoreError::corrupt)).collect()
    }

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

    /// Finds a file that a task left, by the caller's reference to the task and the file's path.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_file(
        &self,
        job: JobId,
        task: &str,
        name: &str,
    ) -> Result<Option<TaskFile>, StoreError> {
        const SQL: &str = "SELECT task_file.*, task.reference FROM task \
                           JOIN task_file ON task_file.task_id = task.id AND task_file.name = $3 \
                           WHERE task.job_id = $1 AND task.reference = $2";
        let found =
            self.readers().fetch_optional(query(SQL).bind(job.0).bind(task).bind(name)).await?;
        found.as_ref().map(read_file).transpose()
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

fn read_upload(row: &Row) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: FileId(row::column(row, "id")?),
        name: row::column(row, "name")?,
        size: row::number(row, "size")?,
        sha256: row::column::<&str>(row, "sha256")?.parse().map_err(StoreError::corrupt)?,
        principal: row::column(row, "principal")?,
        created_at: row::moment(row, "created_at")?,
    })
}

fn read_file(row: &Row) -> Result<TaskFile, StoreError> {
    Ok(TaskFile {
        task_id: TaskId(row::column(row, "task_id")?),
        task: row::column(row, "reference")?,
        name: row::column(row, "name")?,
        size: row::number(row, "size")?,
    })
}

struct AddUpload(Upload);

impl Write for AddUpload {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO upload (id, name, size, sha256, principal, created_at, used_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $6)";
        let Upload { id, name, size, sha256, principal, created_at } = &self.0;
        query(SQL)
            .bind(id.0)
            .bind(name)
            .bind(row::count(*size))
            .bind(sha256.to_string())
            .bind(principal)
            .bind(created_at.unix_ms())
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Stores the files that tasks left: rows of their task, name and size.
pub(crate) const INSERT: Sql = sql!(
    "INSERT INTO task_file (task_id, name, size) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT) FROM ",
    ROWS
);
