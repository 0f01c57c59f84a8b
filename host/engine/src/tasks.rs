//! Finds tasks and their checkpoints, for whoever asks.

use apflow_model::id::TaskId;
use apflow_model::job::Task;
use apflow_store::{PastCheckpoint, TaskFilter, TaskPage};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Lists tasks, newest first. `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_tasks(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<TaskPage, EngineError> {
        Ok(self.store.list_tasks(filter, before, limit).await?)
    }

    /// Finds a task with its dependencies, attempts, usage and output.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn find_task(&self, id: TaskId) -> Result<Option<Task>, EngineError> {
        Ok(self.store.find_task(id).await?)
    }

    /// Lists the checkpoints that a task holds, in the order they were saved: those with a number
    /// above `after`, at most `limit`. None when there is no such task.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_checkpoints(
        &self,
        id: TaskId,
        after: u64,
        limit: u32,
        with_values: bool,
    ) -> Result<Option<Vec<PastCheckpoint>>, EngineError> {
        if self.store.job_of(id).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.store.list_checkpoints(id, after, limit, with_values).await?))
    }
}
