//! `schedules.resume`: lets a schedule go on.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::schedule::Schedule;
use schemars::JsonSchema;
use serde::Serialize;

use super::owner;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lets a paused schedule go on with its first tick from now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResumeSchedule {
    /// Its name.
    pub name: String,
}

impl Operation for ResumeSchedule {
    const NAME: &'static str = "schedules.resume";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Schedule;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Schedule, ApiError> {
        Ok(engine.pause_schedule(&self.name, owner(caller), false).await?)
    }
}

impl Remote for ResumeSchedule {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/schedules/{name}/resume";
    const ERRORS: &'static [Code] = &[Code::UnknownSchedule];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
