//! `jobs.delete`: `jobs.cancel`, or `jobs.purge` for one that says so.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use apflow_model::job::Job;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cancel::CancelJob;
use super::purge::{PurgeJob, PurgedJob};
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Cancels a job, or removes one that has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeleteJob {
    /// The job.
    pub id: JobId,
    /// Whether it is removed. If not, it is cancelled and stays.
    #[serde(rename = "purge")]
    #[schemars(default)]
    pub is_purge: bool,
}

/// What became of the job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DeletedJob {
    /// It has ended, and is still there.
    Cancelled(Box<Job>),
    /// It is gone.
    Purged(PurgedJob),
}

impl Operation for DeleteJob {
    const NAME: &'static str = "jobs.delete";
    const PERMISSION: Permission = CancelJob::PERMISSION;
    type Output = DeletedJob;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<DeletedJob, ApiError> {
        let Self { id, is_purge } = self;
        if !is_purge {
            let job = CancelJob { id }.run(engine, caller).await?;
            return Ok(DeletedJob::Cancelled(Box::new(job)));
        }
        let permission = PurgeJob::PERMISSION;
        if !caller.may(permission) {
            return Err(ApiError::Forbidden { operation: PurgeJob::NAME, permission });
        }
        Ok(DeletedJob::Purged(PurgeJob { id }.run(engine, caller).await?))
    }
}

impl Remote for DeleteJob {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/jobs/{id}";
    const ERRORS: &'static [Code] = &[Code::UnknownJob, Code::JobNotEnded];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let is_purge = input.take("purge")?.unwrap_or_default();
        Ok(Self { id: input.require("id")?, is_purge })
    }
}
