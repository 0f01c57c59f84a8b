//! `jobs.retry`: lets what failed in a job run again.

use std::sync::Arc;

use apflow_engine::{Again, Engine};
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use apflow_model::job::Job;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lets the failed tasks of a job run again, with their checkpoints; what was skipped because of them
/// waits again. A job without any stays as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RetryJob {
    /// The job.
    pub id: JobId,
    /// Only these tasks, by their ids or by the caller's references. Empty for all.
    #[schemars(default)]
    pub tasks: Vec<String>,
    /// Those that were cancelled as well, not only those that failed.
    #[serde(rename = "cancelled")]
    #[schemars(default)]
    pub with_cancelled: bool,
}

impl Operation for RetryJob {
    const NAME: &'static str = "jobs.retry";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Job;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Job, ApiError> {
        let Self { id, tasks, with_cancelled } = self;
        let again = Again { tasks, with_cancelled };
        let retried = engine.retry(id, again, caller).await?;
        retried.ok_or(ApiError::UnknownJob(id))
    }
}

/// The body of a request, which may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    tasks: Vec<String>,
    cancelled: bool,
}

impl Remote for RetryJob {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/jobs/{id}/retry";
    const BODY: Body = Body::Fields(&["tasks", "cancelled"]);
    const ERRORS: &'static [Code] =
        &[Code::ToolBlocked, Code::UnknownJob, Code::UnknownTask, Code::TooManyTasks, Code::Busy];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let Which { tasks, cancelled } = input.take_body()?;
        Ok(Self { id: input.require("id")?, tasks, with_cancelled: cancelled })
    }
}
