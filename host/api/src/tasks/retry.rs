//! `tasks.retry`: lets a failed task run again.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use serde::Deserialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lets a failed task run again, with its checkpoints; what was skipped because of it waits again.
/// Any other task stays as it is.
#[derive(Debug)]
pub struct RetryTask {
    /// The task.
    pub id: TaskId,
    /// Also when it was cancelled.
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
struct Body {
    cancelled: bool,
}

impl Remote for RetryTask {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tasks/{id}/retry";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let body = input.body.take().map(serde_json::from_value::<Body>).transpose();
        let unreadable = |error| ApiError::InvalidRequest(format!("the body: {error}"));
        let Body { cancelled } = body.map_err(unreadable)?.unwrap_or_default();
        Ok(Self { id: input.require("id")?, with_cancelled: cancelled })
    }
}
