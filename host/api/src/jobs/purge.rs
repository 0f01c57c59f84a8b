//! `jobs.purge`: removes a job that has ended.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;

/// Removes a job that has ended, with its tasks, events, outputs and files.
#[derive(Debug)]
pub struct PurgeJob {
    /// The job.
    pub id: JobId,
}

/// The job that was removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PurgedJob {
    /// Its id, under which nothing is found any more.
    pub purged: JobId,
}

impl Operation for PurgeJob {
    const NAME: &'static str = "jobs.purge";
    const PERMISSION: Permission = Permission::HostManage;
    type Output = PurgedJob;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<PurgedJob, ApiError> {
        let is_purged = engine.purge(self.id, caller.sees()).await?;
        is_purged.then_some(PurgedJob { purged: self.id }).ok_or(ApiError::UnknownJob(self.id))
    }
}
