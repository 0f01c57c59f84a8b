//! `jobs.cancel`: ends a job before its time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use apflow_model::job::Job;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Cancels every task of a job that has not ended. A job that has ended stays as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CancelJob {
    /// The job.
    pub id: JobId,
}

impl Operation for CancelJob {
    const NAME: &'static str = "jobs.cancel";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Job;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Job, ApiError> {
        let cancelled = engine.cancel(self.id, caller.sees()).await?;
        cancelled.ok_or(ApiError::UnknownJob(self.id))
    }
}

impl Remote for CancelJob {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/jobs/{id}/cancel";
    const ERRORS: &'static [Code] = &[Code::UnknownJob];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
