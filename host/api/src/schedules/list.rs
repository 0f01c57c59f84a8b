//! `schedules.list`: schedules by name, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::schedule::Schedule;
use serde::Serialize;

use super::owner;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// How many schedules a page holds when the caller does not say.
const LIMIT_USUAL: u32 = 100;
/// The most schedules a page may hold.
const LIMIT_MAX: u32 = 1_000;

/// Lists the schedules of the caller, or all for who may manage them, by name.
#[derive(Debug, Default)]
pub struct ListSchedules {
    /// How many, from 1 to 1000; 100 if not said.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of schedules.
#[derive(Debug, Serialize)]
pub struct ScheduleList {
    /// The schedules, without their jobs.
    pub schedules: Vec<Schedule>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<String>,
}

impl Operation for ListSchedules {
    const NAME: &'static str = "schedules.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = ScheduleList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<ScheduleList, ApiError> {
        let limit = self.limit.unwrap_or(LIMIT_USUAL);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = format!("`limit` is {limit}: expected 1 to {LIMIT_MAX}");
            return Err(ApiError::InvalidRequest(message));
        }
        let page = engine.list_schedules(owner(caller), self.cursor.as_deref(), limit).await?;
        Ok(ScheduleList { schedules: page.schedules, cursor: page.next })
    }
}

impl Remote for ListSchedules {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/schedules";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { limit: input.take("limit")?, cursor: input.take("cursor")? })
    }
}
