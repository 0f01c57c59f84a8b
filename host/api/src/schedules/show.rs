//! `schedules.show`: one schedule with its job and its next ticks.

use std::iter;
use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::schedule::Schedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::owner;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// How many ticks are shown.
const TICKS_SHOWN: usize = 5;

/// Shows one schedule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShowSchedule {
    /// Its name.
    pub name: String,
}

/// A schedule and its next ticks.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownSchedule {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Up to five ticks. None while it is paused.
    pub next: Vec<Timestamp>,
}

impl Operation for ShowSchedule {
    const NAME: &'static str = "schedules.show";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = ShownSchedule;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(
        self,
        engine: &Arc<Engine>,
        caller: &Principal,
    ) -> Result<ShownSchedule, ApiError> {
        let schedule = engine.show_schedule(&self.name, owner(caller)).await?;
        let following = |tick: &Timestamp| schedule.spec.next_after(*tick);
        let next = iter::successors(schedule.next_at, following).take(TICKS_SHOWN).collect();
        Ok(ShownSchedule { schedule, next })
    }
}

impl Remote for ShowSchedule {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/schedules/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownSchedule];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
