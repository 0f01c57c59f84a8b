//! The table of verbs that can be called from afar: one line each.

use std::pin::Pin;

use apflow_model::access::Principal;
use serde_json::Value;

use crate::api::Api;
use crate::error::ApiError;
use crate::files::ListFiles;
use crate::jobs::{CancelAllJobs, CancelJob, DeleteJob, FindJob, ListJobs, SubmitJob};
use crate::plugins::{ListPlugins, RemovePlugin, ShowPlugin};
use crate::remote::{Input, Method, Remote};

/// A verb without its type, for doors that treat all alike.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The method.
    pub method: Method,
    /// The path, with fields in braces.
    pub path: &'static str,
    /// Does it.
    pub invoke: fn(Api, Principal, Input) -> Answering,
}

/// The answer to come: a status and a body.
pub type Answering = Pin<Box<dyn Future<Output = Result<(u16, Value), ApiError>> + Send>>;

/// Every verb that can be called from afar with JSON. [`UploadFile`](crate::UploadFile) and
/// [`OpenFile`](crate::OpenFile) carry bytes, and have a door of their own.
pub const TABLE: &[Entry] = &[
    entry::<SubmitJob>(),
    entry::<ListJobs>(),
    entry::<FindJob>(),
    entry::<CancelJob>(),
    entry::<CancelAllJobs>(),
    entry::<DeleteJob>(),
    entry::<ListFiles>(),
    entry::<ListPlugins>(),
    entry::<ShowPlugin>(),
    entry::<RemovePlugin>(),
];

const fn entry<R: Remote>() -> Entry {
    Entry { method: R::METHOD, path: R::PATH, invoke: invoke::<R> }
}

fn invoke<R: Remote>(api: Api, caller: Principal, mut input: Input) -> Answering {
    Box::pin(async move {
        let operation = R::read(&mut input)?;
        input.finish()?;
        let output = api.invoke(operation, &caller).await?;
        let body = serde_json::to_value(&output).map_err(ApiError::Unserializable)?;
        Ok((R::status(&output), body))
    })
}
