//! Lets what did not end well run again.

use std::collections::HashMap;

use apflow_model::access::Principal;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, SpecFault, Task};
use apflow_model::state::TaskState;
use apflow_store::{RedriveChoice, Redriven};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::roles;

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
    /// [`EngineError::UnknownTask`] when the job has no task of such a name,
    /// [`EngineError::ToolBlocked`] when the role of the caller may not run one of the tools, and
    /// [`EngineError::Store`] when the database fails. Nothing is changed then.
    pub async fn retry(
        &self,
        id: JobId,
        again: Again,
        caller: &Principal,
    ) -> Result<Option<Job>, EngineError> {
        let owner = self.store.owner_of_job(id).await?;
        if !owner.is_some_and(|owner| caller.sees().shows(&owner)) {
            return Ok(None);
        }
        let tasks = self.find_tasks(id, again.tasks).await?;
        let choice = RedriveChoice { tasks, with_cancelled: again.with_cancelled };
        self.redrive(id, choice, caller).await?;
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
    /// [`EngineError::ToolBlocked`], and [`EngineError::Store`] when the database fails; nothing is
    /// changed then.
    pub async fn retry_task(
        &self,
        id: TaskId,
        with_cancelled: bool,
        caller: &Principal,
    ) -> Result<Option<Task>, EngineError> {
        if !self.sees_task(id, caller.sees()).await? {
            return Ok(None);
        }
        let Some(job) = self.store.job_of(id).await? else { return Ok(None) };
        let choice = RedriveChoice { tasks: vec![id], with_cancelled };
        self.redrive(job, choice, caller).await?;
        Ok(self.store.find_task(id).await?)
    }

    /// Refuses to let tools run again that the role of the caller may not run.
    async fn check_tools(
        &self,
        job: JobId,
        choice: &RedriveChoice,
        caller: &Principal,
    ) -> Result<(), EngineError> {
        let role = self.role(&caller.role)?;
        if role.blocked_tools.is_empty() {
            return Ok(());
        }
        for (task, state, tool) in self.store.tools_not_completed(job).await? {
            let is_named = choice.tasks.is_empty() || choice.tasks.contains(&task);
            let is_left = !is_named || (state == TaskState::Cancelled && !choice.with_cancelled);
            // What was skipped may wait for any of the others, and then runs again as well.
            if role.blocks(&tool) && (state == TaskState::Skipped || !is_left) {
                let message = format!("{task}: {}", roles::blocked(&role, &tool));
                return Err(EngineError::ToolBlocked(SpecFault::new("", message)));
            }
        }
        Ok(())
    }

    async fn redrive(
        &self,
        job: JobId,
        choice: RedriveChoice,
        caller: &Principal,
    ) -> Result<(), EngineError> {
        self.check_tools(job, &choice, caller).await?;
        let Redriven { tasks } = self.store.redrive(job, choice, self.now()).await?;
        if tasks.is_empty() {
            return Ok(());
        }
        self.hub.changed(job);
        Ok(())
    }
}
