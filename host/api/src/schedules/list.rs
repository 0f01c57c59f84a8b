//! `schedules.list`: schedules by name, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::schedule::Schedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::owner;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the schedules of the caller, or all for who may manage them, by name.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListSchedules {
    /// Which page.
    #[serde(flatten)]
    pub page: Page<String>,
}

/// A page of schedules.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
        let limit = self.page.limit()?;
        let page = engine.list_schedules(owner(caller), self.page.cursor.as_deref(), limit).await?;
        Ok(ScheduleList { schedules: page.schedules, cursor: page.next })
    }
}

impl Remote for ListSchedules {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/schedules";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
