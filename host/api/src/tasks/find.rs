//! `tasks.find`: one task.

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

/// Finds one task with its dependencies, attempts, usage and output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FindTask {
    /// The task.
    pub id: TaskId,
}

impl Operation for FindTask {
    const NAME: &'static str = "tasks.find";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = Task;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Task, ApiError> {
        let found = engine.find_task(self.id, caller.sees()).await?;
        found.ok_or(ApiError::UnknownTask(self.id))
    }
}

impl Remote for FindTask {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tasks/{id}";
    const ERRORS: &'static [Code] = &[Code::UnknownTask];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
