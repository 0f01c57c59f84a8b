//! `jobs.state`: where a job stands, without its tasks.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use apflow_model::state::JobState;

use crate::error::ApiError;
use crate::operation::Operation;

/// Says where a job stands. It is cheap, however large the job.
#[derive(Debug)]
pub struct ShowJobState {
    /// The job.
    pub id: JobId,
}

impl Operation for ShowJobState {
    const NAME: &'static str = "jobs.state";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = JobState;

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<JobState, ApiError> {
        engine.job_state(self.id).await?.ok_or(ApiError::UnknownJob(self.id))
    }
}
