//! `jobs.submit`: takes a job in.

use std::sync::Arc;
use std::time::Duration;

use apflow_engine::{Engine, NewSubmission, Submission};
use apflow_model::access::{Permission, Principal};
use apflow_model::capability::Grant;
use apflow_model::hops::{self, Hops};
use apflow_model::id::JobId;
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::job::{Job, JobSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::grants::{self, GrantLines};
use crate::operation::Operation;
use crate::remote::{self, Headers, HopsHeader, Input, Method, Remote, WaitSeconds};

/// Takes a job in. It is stored when this answers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SubmitJob {
    /// The job: the fields of one task, or `tasks`.
    #[schemars(with = "JobSpec")]
    pub job: Value,
    /// What the operator allows this job alone, a `KIND=VALUE` a line. Only for callers that may manage
    /// plugins.
    #[serde(serialize_with = "grants::lines")]
    #[schemars(with = "Option<GrantLines>")]
    pub grants: Vec<Grant>,
    /// How many seconds to wait for its end.
    #[serde(serialize_with = "remote::wait_seconds")]
    #[schemars(with = "Option<WaitSeconds>")]
    pub wait: Option<Duration>,
    /// What the caller made up for this job, so that it can be submitted again and runs once.
    #[serde(rename = "idempotency-key")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hosts that the request came through, when a guest sent it.
    #[serde(rename = "apflow-hops", serialize_with = "remote::hops_header")]
    #[schemars(with = "Option<HopsHeader>")]
    pub hops: Hops,
}

/// A job that was taken in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SubmittedJob {
    /// The job.
    pub job: Job,
    /// Whether it was taken in earlier, under the same key.
    #[serde(skip)]
    pub is_replayed: bool,
}

impl Operation for SubmitJob {
    const NAME: &'static str = "jobs.submit";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = SubmittedJob;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<SubmittedJob, ApiError> {
        let permission = Permission::PluginsManage;
        if !self.grants.is_empty() && !caller.may(permission) {
            return Err(ApiError::Forbidden { operation: "granting capabilities", permission });
        }
        let Self { job, grants, wait, idempotency_key, hops } = self;
        let submission = NewSubmission { job, principal: caller.clone(), grants, hops };
        let Some(key) = idempotency_key else {
            let job = match wait {
                Some(wait) => engine.submit_and_wait(submission, wait).await?,
                None => engine.submit(submission).await?,
            };
            return Ok(SubmittedJob { job, is_replayed: false });
        };
        let Submission { mut job, is_replayed } = engine.submit_once(submission, key).await?;
        if let Some(wait) = wait {
            job = engine.wait_up_to(wait, job, caller.sees()).await?;
        }
        Ok(SubmittedJob { job, is_replayed })
    }
}

impl Remote for SubmitJob {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/jobs";
    const BODY: Body = Body::Whole("job");
    const STATUSES: &'static [u16] = &[200, 202];
    const ERRORS: &'static [Code] = &[
        Code::ComponentRefused,
        Code::ToolBlocked,
        Code::InvalidJob,
        Code::InvalidInput,
        Code::UnknownExecutor,
        Code::InvalidGrant,
        Code::GrantNotAsked,
        Code::IdempotencyConflict,
        Code::UnknownJob,
        Code::JobLoop,
        Code::Busy,
        Code::TooManyTasks,
    ];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("a job is expected as the body".to_owned());
        let job = input.body.take().ok_or_else(missing)?;
        let wait = input.take_wait()?;
        let idempotency_key = input.take_header("idempotency-key")?;
        let hops = input.take_header(hops::HEADER)?.unwrap_or_default();
        let grants = grants::take(input)?;
        Ok(Self { job, grants, wait, idempotency_key, hops })
    }

    /// 200 with the results of an ended job, 202 for one that goes on.
    fn status(submitted: &SubmittedJob) -> u16 {
        if submitted.job.state.is_end() { 200 } else { 202 }
    }

    fn headers(submitted: &SubmittedJob) -> Headers {
        let SubmittedJob { job, is_replayed } = submitted;
        headers(job.id, job.state.is_end(), *is_replayed)
    }
}

/// What the headers say of a job that was submitted: where to find one that goes on, and whether it
/// was taken in earlier.
pub(crate) fn headers(id: JobId, is_ended: bool, is_replayed: bool) -> Headers {
    let place = (!is_ended).then(|| ("location", format!("/api/v1/jobs/{id}")));
    let replayed = is_replayed.then(|| ("idempotent-replayed", "true".to_owned()));
    place.into_iter().chain(replayed).collect()
}
