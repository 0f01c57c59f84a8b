//! `tools.run`: one task of a tool.

use std::sync::Arc;
use std::time::Duration;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use crate::code::Code;
use crate::error::ApiError;
use crate::jobs::{SubmitJob, SubmittedJob};
use crate::operation::Operation;
use crate::remote::{Headers, Input, Method, Remote};
use crate::schema::Body;

/// How long a caller waits that does not say.
const WAIT_USUAL: Duration = Duration::from_secs(30);

/// Runs a tool: submits a job of one task.
#[derive(Debug, JsonSchema)]
#[schemars(transform = one_task)]
pub struct RunTool {
    /// Its name.
    pub name: String,
    /// The job: the fields of the task, without its tool.
    #[schemars(flatten)]
    pub submit: SubmitJob,
}

/// Its job is one task, whose tool stands in the path.
fn one_task(schema: &mut Schema) {
    let Some(job) = schema.pointer_mut("/properties/job") else { return };
    let Some(mut task) = job.pointer("/anyOf/0").cloned() else { return };
    for key in ["executor", "tool"] {
        task["properties"].as_object_mut().and_then(|properties| properties.remove(key));
    }
    task["examples"] = json!([{ "inputs": { "input": { "a": 1 } } }]);
    *job = task;
    schema.remove("required");
    schema.insert("required".to_owned(), json!(["name"]));
}

impl Operation for RunTool {
    const NAME: &'static str = "tools.run";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = SubmittedJob;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<SubmittedJob, ApiError> {
        // The name stands in the path, so it is told as what is not there.
        engine.find_tool(&self.name).await?;
        let mut submit = self.submit;
        submit.job["tool"] = self.name.into();
        submit.run(engine, caller).await
    }
}

impl Remote for RunTool {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tools/{name}/run";
    const BODY: Body = Body::Whole("job");
    const STATUSES: &'static [u16] = SubmitJob::STATUSES;
    const ERRORS: &'static [Code] = &[
        Code::ToolBlocked,
        Code::UnknownTool,
        Code::InvalidJob,
        Code::InvalidInput,
        Code::UnknownExecutor,
        Code::IdempotencyConflict,
        Code::UnknownJob,
        Code::JobLoop,
        Code::Busy,
        Code::TooManyTasks,
    ];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let name = input.require("name")?;
        let job = input.body.get_or_insert_with(|| json!({}));
        let task = job.as_object();
        let is_one = |task: &serde_json::Map<String, Value>| {
            !["tasks", "tool", "executor"].iter().any(|key| task.contains_key(*key))
        };
        if !task.is_some_and(is_one) {
            let message = "the body is an object with the fields of one task, such as `inputs`; its \
                           tool stands in the path";
            return Err(ApiError::InvalidRequest(message.to_owned()));
        }
        let mut submit = SubmitJob::read(input)?;
        submit.wait = Some(submit.wait.unwrap_or(WAIT_USUAL));
        Ok(Self { name, submit })
    }

    fn status(submitted: &SubmittedJob) -> u16 {
        SubmitJob::status(submitted)
    }

    fn headers(submitted: &SubmittedJob) -> Headers {
        SubmitJob::headers(submitted)
    }
}
