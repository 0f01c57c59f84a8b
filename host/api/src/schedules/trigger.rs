//! `schedules.trigger`: submits the job of a schedule now.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::hops::{self, Hops};
use apflow_model::job::Job;
use schemars::JsonSchema;
use serde::Serialize;

use super::owner;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{self, HopsHeader, Input, Method, Remote};

/// Submits the job of a schedule now, in the name of who made it, beside its ticks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TriggerSchedule {
    /// Its name.
    pub name: String,
    /// The hosts that the request came through.
    #[serde(rename = "apflow-hops", serialize_with = "remote::hops_header")]
    #[schemars(with = "Option<HopsHeader>")]
    pub hops: Hops,
}

impl Operation for TriggerSchedule {
    const NAME: &'static str = "schedules.trigger";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Job;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Job, ApiError> {
        Ok(engine.trigger_schedule(&self.name, owner(caller), self.hops).await?)
    }
}

impl Remote for TriggerSchedule {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/schedules/{name}/trigger";
    const STATUSES: &'static [u16] = &[202];
    const ERRORS: &'static [Code] = &[
        Code::ComponentRefused,
        Code::ToolBlocked,
        Code::UnknownSchedule,
        Code::InvalidJob,
        Code::InvalidInput,
        Code::UnknownExecutor,
        Code::GrantNotAsked,
        Code::JobLoop,
        Code::Busy,
        Code::TooManyTasks,
    ];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let hops = input.take_header(hops::HEADER)?.unwrap_or_default();
        Ok(Self { name: input.require("name")?, hops })
    }

    /// The job goes on.
    fn status(_: &Job) -> u16 {
        202
    }
}
