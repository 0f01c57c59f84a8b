//! `jobs.events`: what happened to a job, a page at a time.

use std::sync::Arc;
use std::time::Duration;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::event::Event;
use apflow_model::id::JobId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page;
use crate::remote::{self, Input, Method, Remote, WaitSeconds};

/// How many events a page holds when the caller does not say.
const LIMIT_USUAL: u32 = 100;
/// The most events a page may hold.
const LIMIT_MAX: u32 = 1_000;

/// Lists what happened to a job, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListEvents {
    /// The job.
    pub id: JobId,
    /// The number to go on after; 0 for the beginning.
    #[schemars(default)]
    pub after: u64,
    /// How many at most; 100 if not said. There may be fewer when they are large.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    pub limit: Option<u32>,
    /// How many seconds to wait for one when there is none yet.
    #[serde(serialize_with = "remote::wait_seconds")]
    #[schemars(with = "Option<WaitSeconds>")]
    pub wait: Option<Duration>,
}

/// A page of events.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// The events. There may be fewer than asked for when they are large.
    pub events: Vec<Event>,
    /// What to send as `after` for the next page. Null when the job has ended and no more will come.
    pub next: Option<u64>,
}

impl Operation for ListEvents {
    const NAME: &'static str = "jobs.events";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = EventList;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<EventList, ApiError> {
        let limit = page::limit(self.limit, LIMIT_USUAL, LIMIT_MAX)?;
        let list = async || {
            let page = engine.list_events(self.id, self.after, limit, caller.sees()).await?;
            page.ok_or(ApiError::UnknownJob(self.id))
        };
        let mut page = list().await?;
        if let Some(wait) = self.wait
            && page.events.is_empty()
            && page.next.is_some()
            && let Some(mut watch) = engine.watch(self.id, self.after, caller.sees()).await?
        {
            // Running out of time is fine: the page is empty then.
            drop(tokio::time::timeout(wait, watch.next()).await);
            page = list().await?;
        }
        Ok(EventList { events: page.events, next: page.next })
    }
}

impl Remote for ListEvents {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/jobs/{id}/events";
    const ERRORS: &'static [Code] = &[Code::UnknownJob, Code::TooManyWatchers];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            id: input.require("id")?,
            after: input.take("after")?.unwrap_or(0),
            limit: input.take("limit")?,
            wait: input.take_wait()?,
        })
    }
}
