//! `schedules.pause`: lets a schedule rest.

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

/// Lets a schedule rest until it is resumed. The ticks of that time are none.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PauseSchedule {
    /// Its name.
    pub name: String,
}

impl Operation for PauseSchedule {
    const NAME: &'static str = "schedules.pause";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Schedule;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Schedule, ApiError> {
        Ok(engine.pause_schedule(&self.name, owner(caller), true).await?)
    }
}

impl Remote for PauseSchedule {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/schedules/{name}/pause";
    const ERRORS: &'static [Code] = &[Code::UnknownSchedule];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
