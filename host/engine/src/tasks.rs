//! Finds tasks and their checkpoints, for whoever asks.

use apflow_model::id::TaskId;
use apflow_model::job::Task;
use apflow_model::visible::Visible;
use apflow_store::{PastCheckpoint, TaskFilter, TaskPage};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Lists the tasks that are seen, newest first. `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_tasks(
        &self,
        mut filter: TaskFilter,
        before: Option<TaskId>,
        limit: u32,
        visible: Visible<'_>,
    ) -> Result<TaskPage, EngineError> {
        let Ok(principal) = visible.narrow(filter.principal) else {
            return Ok(TaskPage { tasks: Vec::new(), next: None });
        };
        filter.principal = principal;
        Ok(self.store.list_tasks(&filter, before, limit).await?)
    }

    /// Finds a task with its dependencies, attempts, usage and output. None when there is none that is
    /// seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn find_task(
        &self,
        id: TaskId,
        visible: Visible<'_>,
    ) -> Result<Option<Task>, EngineError> {
        if !self.sees_task(id, visible).await? {
            return Ok(None);
        }
        Ok(self.store.find_task(id).await?)
    }

    /// Lists the checkpoints that a task holds, in the order they were saved: those with a number
    /// above `after`, at most `limit`. None when there is no such task that is seen.
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
        visible: Visible<'_>,
    ) -> Result<Option<Vec<PastCheckpoint>>, EngineError> {
        let owner = self.store.owner_of_task(id).await?;
        if !owner.is_some_and(|owner| visible.shows(&owner)) {
            return Ok(None);
        }
        Ok(Some(self.store.list_checkpoints(id, after, limit, with_values).await?))
    }
}
