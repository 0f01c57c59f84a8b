//! `jobs.purge_before`: removes all jobs that ended before a moment.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::state::JobState;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;

/// Removes every job that ended before a moment, whoever submitted it.
#[derive(Debug)]
pub struct PurgeJobs {
    /// The moment.
    pub before: Timestamp,
    /// Only those that ended so. None for any end.
    pub state: Option<JobState>,
}

/// How many jobs were removed.
#[derive(Debug, Serialize)]
pub struct PurgedJobs {
    /// Those that had ended before the moment.
    pub purged: u64,
}

impl Operation for PurgeJobs {
    const NAME: &'static str = "jobs.purge_before";
    const PERMISSION: Permission = Permission::HostManage;
    type Output = PurgedJobs;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<PurgedJobs, ApiError> {
        Ok(PurgedJobs { purged: engine.purge_before(self.state, self.before).await? })
    }
}
