//! `jobs.cancel_all`: ends every job before its time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Cancels every job of the caller that has not ended; for who may manage jobs, everybody's.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CancelAllJobs;

/// How many jobs were cancelled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CancelledJobs {
    /// Those that had not ended.
    #[schemars(example = 3)]
    pub cancelled: u64,
}

impl Operation for CancelAllJobs {
    const NAME: &'static str = "jobs.cancel_all";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = CancelledJobs;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(
        self,
        engine: &Arc<Engine>,
        caller: &Principal,
    ) -> Result<CancelledJobs, ApiError> {
        Ok(CancelledJobs { cancelled: engine.cancel_all(caller.sees()).await? })
    }
}

impl Remote for CancelAllJobs {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/jobs/cancel";

    fn read(_: &mut Input) -> Result<Self, ApiError> {
        Ok(Self)
    }
}
