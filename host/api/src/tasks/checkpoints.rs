//! `tasks.checkpoints`: the history of what a task saved, a page at a time.

use std::sync::Arc;

use apflow_engine::{CHECKPOINTS_PER_PAGE_MAX, Engine, PastCheckpoint, VALUES_PER_PAGE_MAX};
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::id::TaskId;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page;
use crate::remote::{Input, Method, Remote};

/// Lists the checkpoints that a task holds, in the order they were saved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListCheckpoints {
    /// The task.
    pub id: TaskId,
    /// Their values as well.
    #[serde(rename = "values")]
    #[schemars(default)]
    pub with_values: bool,
    /// How many at most; 1000 if not said. With their values, a page holds at most 16.
    #[schemars(range(min = 1, max = CHECKPOINTS_PER_PAGE_MAX))]
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<u64>,
}

/// A checkpoint as it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownCheckpoint {
    /// The place in the task's history, from 1.
    #[schemars(example = 1)]
    pub n: u64,
    /// The name of the step.
    #[schemars(example = &"page-1")]
    pub step: String,
    /// The attempt that saved it.
    #[schemars(example = 1)]
    pub attempt: u32,
    /// When it was saved.
    pub at: Timestamp,
    /// The size of the value in bytes.
    #[schemars(example = 512)]
    pub bytes: u64,
    /// The value in base64, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A page of checkpoints.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointList {
    /// The checkpoints.
    pub checkpoints: Vec<ShownCheckpoint>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<u64>,
}

impl Operation for ListCheckpoints {
    const NAME: &'static str = "tasks.checkpoints";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = CheckpointList;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(
        self,
        engine: &Arc<Engine>,
        caller: &Principal,
    ) -> Result<CheckpointList, ApiError> {
        let Self { id, with_values, limit, cursor } = self;
        let most = if with_values { VALUES_PER_PAGE_MAX } else { CHECKPOINTS_PER_PAGE_MAX };
        let limit = page::limit(limit, most, CHECKPOINTS_PER_PAGE_MAX)?.min(most);
        let after = cursor.unwrap_or_default();
        let visible = caller.sees();
        let page = engine.list_checkpoints(id, after, limit, with_values, visible).await?;
        let page = page.ok_or(ApiError::UnknownTask(id))?;
        let is_full = u32::try_from(page.len()).is_ok_and(|count| count == limit);
        let cursor = page.last().filter(|_| is_full).map(|last| last.n);
        Ok(CheckpointList { checkpoints: page.into_iter().map(show).collect(), cursor })
    }
}

fn show(past: PastCheckpoint) -> ShownCheckpoint {
    let PastCheckpoint { n, step, attempt, at, bytes, value } = past;
    let value = value.map(|value| BASE64_STANDARD.encode(value));
    ShownCheckpoint { n, step, attempt, at, bytes, value }
}

impl Remote for ListCheckpoints {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tasks/{id}/checkpoints";
    const ERRORS: &'static [Code] = &[Code::UnknownTask];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            id: input.require("id")?,
            with_values: input.take("values")?.unwrap_or(false),
            limit: input.take("limit")?,
            cursor: input.take("cursor")?,
        })
    }
}
