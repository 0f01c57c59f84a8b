//! `run.task`: runs one task and answers what became of it.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Ran;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::jobs::{self, SubmitJob};
use crate::operation::Operation;
use crate::remote::{Headers, Input, Method, Remote};

/// Runs one task: submits it as a job of its own, and waits for its end unless told not to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = super::one_task)]
pub struct RunTask {
    /// The job: the fields of the task.
    #[serde(flatten)]
    pub submit: SubmitJob,
}

impl Operation for RunTask {
    const NAME: &'static str = "run.task";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Ran;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Ran, ApiError> {
        Ran::of(self.submit.run(engine, caller).await?, engine).await
    }
}

impl Remote for RunTask {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/run";
    const BODY: Body = Body::Whole("job");
    const STATUSES: &'static [u16] = SubmitJob::STATUSES;
    const ERRORS: &'static [Code] = SubmitJob::ERRORS;

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        if input.body.as_ref().is_some_and(|body| body.get("tasks").is_some()) {
            let message = "the body has the fields of one task: several are for /api/v1/parallel, \
                           and a forest for /api/v1/jobs";
            return Err(ApiError::InvalidRequest(message.to_owned()));
        }
        Ok(Self { submit: super::read(input)? })
    }

    fn status(ran: &Ran) -> u16 {
        ran.status()
    }

    fn headers(ran: &Ran) -> Headers {
        jobs::headers(ran.task.job_id, ran.task.state.is_end(), ran.is_replayed)
    }
}
