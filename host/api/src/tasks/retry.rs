//! `tasks.retry`: lets a failed task run again.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lets a failed task run again, with its checkpoints; what was skipped because of it waits again.
/// Any other task stays as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RetryTask {
    /// The task.
    pub id: TaskId,
    /// Also when it was cancelled.
    #[serde(rename = "cancelled")]
    #[schemars(default)]
    pub with_cancelled: bool,
}

impl Operation for RetryTask {
    const NAME: &'static str = "tasks.retry";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Task;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Task, ApiError> {
        let retried = engine.retry_task(self.id, self.with_cancelled, caller).await?;
        retried.ok_or(ApiError::UnknownTask(self.id))
    }
}

/// The body of a request, which may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Again {
    cancelled: bool,
}

impl Remote for RetryTask {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tasks/{id}/retry";
    const BODY: Body = Body::Fields(&["cancelled"]);
    const ERRORS: &'static [Code] =
        &[Code::ToolBlocked, Code::UnknownTask, Code::TooManyTasks, Code::Busy];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let Again { cancelled } = input.take_body()?;
        Ok(Self { id: input.require("id")?, with_cancelled: cancelled })
    }
}
