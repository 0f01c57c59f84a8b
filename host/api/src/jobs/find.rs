//! `jobs.find`: one job with its tasks.

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

/// Finds one job with its tasks, their attempts, usage and outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FindJob {
    /// The job.
    pub id: JobId,
}

impl Operation for FindJob {
    const NAME: &'static str = "jobs.find";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = Job;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Job, ApiError> {
        let found = engine.find_job(self.id, caller.sees()).await?;
        found.ok_or(ApiError::UnknownJob(self.id))
    }
}

impl Remote for FindJob {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/jobs/{id}";
    const ERRORS: &'static [Code] = &[Code::UnknownJob];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { id: input.require("id")? })
    }
}
