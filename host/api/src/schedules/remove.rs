//! `schedules.remove`: takes a schedule away.

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

/// Removes one schedule. The jobs that it submitted stay.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RemoveSchedule {
    /// Its name.
    pub name: String,
}

impl Operation for RemoveSchedule {
    const NAME: &'static str = "schedules.remove";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Schedule;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Schedule, ApiError> {
        Ok(engine.remove_schedule(&self.name, owner(caller)).await?)
    }
}

impl Remote for RemoveSchedule {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/schedules/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownSchedule];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
