//! `tools.run`: one task of a tool.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Value, json};

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::jobs::SubmitJob;
use crate::operation::Operation;
use crate::remote::{Headers, Input, Method, Remote};
use crate::run::{self, Ran, RunTask};

/// Runs a tool: submits a job of one task, and waits for its end unless told not to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = of_the_tool)]
pub struct RunTool {
    /// Its name.
    pub name: String,
    /// The job: the fields of the task, without its tool.
    #[serde(flatten)]
    pub submit: SubmitJob,
}

/// The tool stands in the path, and all fields of the task may be left out.
fn of_the_tool(schema: &mut Schema) {
    run::one_task(schema);
    let Some(task) = schema.pointer_mut("/properties/job") else { return };
    task["examples"] = json!([{ "inputs": { "input": { "a": 1 } } }]);
    if let Some(fields) = task["properties"].as_object_mut() {
        fields.retain(|name, _| !["executor", "tool"].contains(&name.as_str()));
    }
    schema.insert("required".to_owned(), json!(["name"]));
}

impl Operation for RunTool {
    const NAME: &'static str = "tools.run";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Ran;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Ran, ApiError> {
        // The name stands in the path, so it is told as what is not there.
        engine.find_tool(&self.name).await?;
        let mut submit = self.submit;
        submit.job["tool"] = self.name.into();
        Ran::of(submit.run(engine, caller).await?, engine).await
    }
}

impl Remote for RunTool {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/tools/{name}/run";
    const BODY: Body = Body::Whole("job");
    const STATUSES: &'static [u16] = SubmitJob::STATUSES;
    const ERRORS: &'static [Code] = &[
        Code::ComponentRefused,
        Code::ToolBlocked,
        Code::UnknownTool,
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
        Ok(Self { name, submit: run::read(input)? })
    }

    fn status(ran: &Ran) -> u16 {
        RunTask::status(ran)
    }

    fn headers(ran: &Ran) -> Headers {
        RunTask::headers(ran)
    }
}
