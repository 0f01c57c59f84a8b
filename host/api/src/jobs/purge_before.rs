//! `jobs.purge_before`: removes all jobs that ended before a moment.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::state::JobState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Removes every job that ended before a moment, whoever submitted it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeJobs {
    /// The moment.
    pub before: Timestamp,
    /// Only those that ended so. Any end, if left out.
    #[schemars(extend("enum" = ["completed", "failed", "cancelled", null]))]
    #[schemars(with = "Option<String>")]
    pub state: Option<JobState>,
}

/// How many jobs were removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PurgedJobs {
    /// Those that had ended before the moment.
    #[schemars(example = 3)]
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
        if self.state.is_some_and(|state| !state.is_end()) {
            let message = "`state` is one that no ended job has: expected completed, failed or \
                           cancelled";
            return Err(ApiError::InvalidRequest(message.to_owned()));
        }
        Ok(PurgedJobs { purged: engine.purge_before(self.state, self.before).await? })
    }
}

impl Remote for PurgeJobs {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/jobs/purge";
    const BODY: Body = Body::Fields(&["before", "state"]);

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("an object with `before` is expected".to_owned());
        let body = input.body.take().ok_or_else(missing)?;
        let invalid = |error| ApiError::InvalidRequest(format!("the body is not valid: {error}"));
        serde_json::from_value(body).map_err(invalid)
    }
}
