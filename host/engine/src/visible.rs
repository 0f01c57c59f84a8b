//! Whether somebody sees a job or a task: what belongs to others is as good as not there.

use std::time::Instant;

use apflow_model::id::{JobId, TaskId};
use apflow_model::visible::Visible;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Whether a job is seen. Who submitted it never changes, so this holds for as long as it is
    /// there. Who sees everybody's is not told whether it is.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn sees_job(&self, job: JobId, visible: Visible<'_>) -> Result<bool, EngineError> {
        if visible == Visible::All {
            return Ok(true);
        }
        if let Some(owner) = self.newcomers.owner(job, Instant::now()) {
            return Ok(visible.shows(&owner));
        }
        let owner = self.store.owner_of_job(job).await?;
        Ok(owner.is_some_and(|owner| visible.shows(&owner)))
    }

    /// Whether a task is seen, in the same way.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn sees_task(&self, task: TaskId, visible: Visible<'_>) -> Result<bool, EngineError> {
        if visible == Visible::All {
            return Ok(true);
        }
        let owner = self.store.owner_of_task(task).await?;
        Ok(owner.is_some_and(|owner| visible.shows(&owner)))
    }
}
