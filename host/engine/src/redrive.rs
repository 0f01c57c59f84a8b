//! Lets what did not end well run again.

use std::collections::HashMap;

use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, Task};
use apflow_model::visible::Visible;
use apflow_store::{RedriveChoice, Redriven};

use crate::engine::Engine;
use crate::error::EngineError;

/// Which tasks of a job to let run again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Again {
    /// Only these, by their ids or by the caller's references. Empty for all.
    pub tasks: Vec<String>,
    /// Those that were cancelled as well, not only those that failed.
    pub with_cancelled: bool,
}

impl Engine {
    /// Lets the failed tasks of a job run again, with their checkpoints and as many attempts as at
    /// first; what was skipped because of them waits again. A job without any stays as it is.
    ///
    /// None when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownTask`] when the job has no task of such a name, and
    /// [`EngineError::Store`] when the database fails. Nothing is changed then.
    pub async fn retry(
        &self,
        id: JobId,
        again: Again,
        visible: Visible<'_>,
    ) -> Result<Option<Job>, EngineError> {
        let owner = self.store.owner_of_job(id).await?;
        if !owner.is_some_and(|owner| visible.shows(&owner)) {
            return Ok(None);
        }
        let tasks = self.find_tasks(id, again.tasks).await?;
        let choice = RedriveChoice { tasks, with_cancelled: again.with_cancelled };
        self.redrive(id, choice).await?;
        Ok(self.store.find_job(id).await?)
    }

    /// Finds tasks of a job by their ids or references.
    async fn find_tasks(&self, job: JobId, names: Vec<String>) -> Result<Vec<TaskId>, EngineError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut known = HashMap::new();
        for (reference, task) in self.store.references(job).await? {
            known.insert(task.to_string(), task);
            // What the caller named comes first, even if it looks like an id.
            known.insert(reference, task);
        }
        let find = |name: String| {
            known.get(&name).copied().ok_or(EngineError::UnknownTask { job, task: name })
        };
        names.into_iter().map(find).collect()
    }

    /// Lets a failed task run again, as [`Engine::retry`] does.
    ///
    /// None when there is no such task that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails; nothing is changed then.
    pub async fn retry_task(
        &self,
        id: TaskId,
        with_cancelled: bool,
        visible: Visible<'_>,
    ) -> Result<Option<Task>, EngineError> {
        if !self.sees_task(id, visible).await? {
            return Ok(None);
        }
        let Some(job) = self.store.job_of(id).await? else { return Ok(None) };
        self.redrive(job, RedriveChoice { tasks: vec![id], with_cancelled }).await?;
        Ok(self.store.find_task(id).await?)
    }

    async fn redrive(&self, job: JobId, choice: RedriveChoice) -> Result<(), EngineError> {
        let Redriven { tasks } = self.store.redrive(job, choice, self.now()).await?;
        if tasks.is_empty() {
            return Ok(());
        }
        self.bell.notify_one();
        self.hub.changed(job);
        Ok(())
    }
}
