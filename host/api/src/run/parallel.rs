//! `run.parallel`: runs several tasks at once and answers what became of each.

use std::sync::Arc;

use apflow_engine::{Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use apflow_model::job::SpecFault;
use apflow_model::state::JobState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::RanTask;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::jobs::{self, SubmitJob, SubmittedJob};
use crate::operation::Operation;
use crate::remote::{Headers, Input, Method, Remote};

/// Runs tasks that have nothing to do with each other, as one job. One that fails stops no other.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = super::several)]
pub struct RunParallel {
    /// The job, with its `tasks`.
    #[serde(flatten)]
    pub submit: SubmitJob,
}

/// What running several tasks answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RanParallel {
    /// The job that they are in.
    pub job_id: JobId,
    /// Where it stands: `completed` when all of them are, and `failed` when all have ended and one
    /// has failed.
    pub state: JobState,
    /// The tasks, in the order they were given.
    pub results: Vec<RanTask>,
    /// Whether they were run earlier, under the same key.
    #[serde(skip)]
    pub is_replayed: bool,
}

impl Operation for RunParallel {
    const NAME: &'static str = "run.parallel";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = RanParallel;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<RanParallel, ApiError> {
        let mut submitted = self.submit.run(engine, caller).await?;
        let results = RanTask::all_of(&mut submitted, engine).await?;
        let SubmittedJob { job, is_replayed } = submitted;
        Ok(RanParallel { job_id: job.id, state: job.state, results, is_replayed })
    }
}

impl Remote for RunParallel {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/parallel";
    const BODY: Body = Body::Whole("job");
    const STATUSES: &'static [u16] = SubmitJob::STATUSES;
    const ERRORS: &'static [Code] = SubmitJob::ERRORS;

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let tasks =
            input.body.as_ref().and_then(|body| body.get("tasks")).and_then(Value::as_array);
        let Some(tasks) = tasks else {
            let message = "the body is an object with `tasks`, the list of those to run";
            return Err(ApiError::InvalidRequest(message.to_owned()));
        };
        check_independent(tasks)?;
        Ok(Self { submit: super::read(input)? })
    }

    fn status(ran: &RanParallel) -> u16 {
        if ran.state.is_end() { 200 } else { 202 }
    }

    fn headers(ran: &RanParallel) -> Headers {
        jobs::headers(ran.job_id, ran.state.is_end(), ran.is_replayed)
    }
}

fn check_independent(tasks: &[Value]) -> Result<(), EngineError> {
    for (index, task) in tasks.iter().enumerate() {
        if let Some(key) = ["dependencies", "parent_id"].iter().find(|key| task.get(key).is_some())
        {
            let message =
                "tasks that run in parallel wait for none: submit a forest to /api/v1/jobs";
            let fault = SpecFault::new(format!("/tasks/{index}/{key}"), message);
            return Err(EngineError::InvalidJob(fault));
        }
    }
    Ok(())
}
