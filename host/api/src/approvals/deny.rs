//! `tasks.deny`: fails a parked task.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::approval::{Decision, Reason};
use apflow_model::id::TaskId;
use apflow_model::job::Task;
use schemars::JsonSchema;
use serde::Serialize;

use super::reason;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Fails a task that waits for an approval. One that was denied before stays as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DenyTask {
    /// The task.
    pub id: TaskId,
    /// Why, for whoever reads it later.
    pub reason: Option<Reason>,
}

impl Operation for DenyTask {
    const NAME: &'static str = "tasks.deny";
    const PERMISSION: Permission = Permission::TasksApprove;
    type Output = Task;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    fn reason(&self) -> Option<String> {
        self.reason.as_ref().map(|reason| reason.as_str().to_owned())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Task, ApiError> {
        let decided = engine.decide(self.id, Decision::Denied, caller, self.reason).await?;
        decided.ok_or(ApiError::UnknownTask(self.id))
    }
}

impl Remote for DenyTask {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tasks/{id}/deny";
    const BODY: Body = Body::Fields(&["reason"]);
    const ERRORS: &'static [Code] = &[Code::UnknownTask, Code::ApprovalNotPending];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { reason: reason(input)?, id: input.require("id")? })
    }
}
