//! `jobs.submit`: takes a job in.

use std::sync::Arc;
use std::time::Duration;

use apflow_engine::{Engine, NewSubmission};
use apflow_model::access::{Permission, Principal};
use apflow_model::capability::Grant;
use apflow_model::job::Job;
use serde_json::Value;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Takes a job in. It is stored when this answers.
#[derive(Debug)]
pub struct SubmitJob {
    /// The job: the fields of one task, or `tasks`.
    pub job: Value,
    /// What the operator allows this job alone. Only for callers that may manage plugins.
    pub grants: Vec<Grant>,
    /// How long to wait for its end.
    pub wait: Option<Duration>,
}

impl Operation for SubmitJob {
    const NAME: &'static str = "jobs.submit";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Job;

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Job, ApiError> {
        let permission = Permission::PluginsManage;
        if !self.grants.is_empty() && !caller.may(permission) {
            return Err(ApiError::Forbidden { operation: "granting capabilities", permission });
        }
        let Self { job, grants, wait } = self;
        let submission = NewSubmission { job, principal: caller.name.clone(), grants };
        let submitted = engine.submit(submission).await?;
        let Some(wait) = wait else { return Ok(submitted) };
        match tokio::time::timeout(wait, engine.wait(submitted.id)).await {
            Ok(ended) => Ok(ended?.unwrap_or(submitted)),
            Err(_) => Ok(engine.find_job(submitted.id).await?.unwrap_or(submitted)),
        }
    }
}

/// The longest that a caller may wait, in seconds.
const WAIT_SECONDS_MAX: f64 = 300.0;

impl Remote for SubmitJob {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/jobs";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("a job is expected as the body".to_owned());
        let job = input.body.take().ok_or_else(missing)?;
        let wait = match input.take::<f64>("wait")? {
            None => None,
            Some(seconds) if (0.0..=WAIT_SECONDS_MAX).contains(&seconds) => {
                Some(Duration::from_secs_f64(seconds))
            }
            Some(seconds) => {
                return Err(ApiError::InvalidRequest(format!(
                    "`wait` is {seconds}: expected 0 to {WAIT_SECONDS_MAX} seconds"
                )));
            }
        };
        Ok(Self { job, grants: Vec::new(), wait })
    }

    /// 200 with the results of an ended job, 202 for one that goes on.
    fn status(job: &Job) -> u16 {
        if job.state.is_end() { 200 } else { 202 }
    }
}
