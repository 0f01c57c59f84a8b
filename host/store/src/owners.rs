//! Who submitted what, and in which role: one short row for each question.

use apflow_model::access::ADMIN;
use apflow_model::id::{JobId, TaskId};

use crate::connection::query;
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// Who submitted a job. None when there is no such job.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn owner_of_job(&self, job: JobId) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT principal FROM job WHERE id = $1 AND purged_at IS NULL";
        let found: Option<(String,)> = self.readers().read_optional(query(SQL).bind(job.0)).await?;
        Ok(found.map(|(principal,)| principal))
    }

    /// The role that a job was submitted in. None when there is no such job.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn role_of_job(&self, job: JobId) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT role FROM job WHERE id = $1";
        let found: Option<(Option<String>,)> =
            self.readers().read_optional(query(SQL).bind(job.0)).await?;
        Ok(found.map(|(role,)| role.unwrap_or_else(|| ADMIN.to_owned())))
    }

    /// Who submitted the job of a task. None when there is no such task.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn owner_of_task(&self, task: TaskId) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT job.principal FROM task JOIN job ON job.id = task.job_id \
                           WHERE task.id = $1 AND job.purged_at IS NULL";
        let found: Option<(String,)> =
            self.readers().read_optional(query(SQL).bind(task.0)).await?;
        Ok(found.map(|(principal,)| principal))
    }
}
