//! `jobs.watch`: what happened to a job, and then what happens.

use std::sync::Arc;

use apflow_engine::{Engine, Watch};
use apflow_model::access::{Permission, Principal};
use apflow_model::id::JobId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::Input;

/// Watches a job to its end.
///
/// It is answered as a stream, so it is no verb of the table: over a WebSocket, or as server-sent
/// events at the path of [`ListEvents`](crate::ListEvents), which answers the same events a page at a
/// time.
#[derive(Debug, JsonSchema)]
pub struct WatchJob {
    /// The job.
    pub id: JobId,
    /// The number to go on after; 0 for the beginning.
    #[schemars(default)]
    pub after: u64,
}

/// A job that is being watched.
#[derive(Debug, Serialize)]
pub struct WatchedJob {
    /// The job.
    pub id: JobId,
    /// Its events.
    #[serde(skip)]
    pub events: Watch,
}

impl WatchJob {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] = &[Code::UnknownJob, Code::TooManyWatchers];
    /// The path of the WebSocket.
    pub const PATH: &'static str = "/api/v1/jobs/{id}/watch";

    /// Reads the fields of the path and of the query.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] for what cannot be read, or is left over.
    pub fn read(mut input: Input) -> Result<Self, ApiError> {
        let (id, after) = (input.require("id")?, input.take("after")?.unwrap_or(0));
        input.finish()?;
        Ok(Self { id, after })
    }
}

impl Operation for WatchJob {
    const NAME: &'static str = "jobs.watch";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = WatchedJob;

    fn target(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<WatchedJob, ApiError> {
        let Self { id, after } = self;
        let watch = engine.watch(id, after, caller.sees()).await?;
        let events = watch.ok_or(ApiError::UnknownJob(id))?;
        Ok(WatchedJob { id, events })
    }
}
