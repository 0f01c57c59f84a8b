//! `tasks.cancel`: ends a task before its time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Cancels a task and all below it. A task that has ended stays as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CancelTask {
    /// The task.
    pub id: TaskId,
}

impl Operation for CancelTask {
    const NAME: &'static str = "tasks.cancel";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Task;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Task, ApiError> {
        let cancelled = engine.cancel_task(self.id, caller.sees()).await?;
        cancelled.ok_or(ApiError::UnknownTask(self.id))
    }
}

impl Remote for CancelTask {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tasks/{id}/cancel";
    const ERRORS: &'static [Code] = &[Code::UnknownTask];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
