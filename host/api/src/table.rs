//! The table of verbs that can be called from afar: one line each.

use std::pin::Pin;

use apflow_model::access::Permission;
use serde_json::Value;

use crate::api::Api;
use crate::approvals::{ApproveTask, DenyTask, ListApprovals};
use crate::audit::ListAudit;
use crate::breakers::{ListBreakers, ResetBreaker, ResetBreakers};
use crate::cache::{ClearCache, ListCache};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::files::ListFiles;
use crate::jobs::{
    CancelAllJobs, CancelJob, DeleteJob, FindJob, ListEvents, ListJobs, RetryJob, SubmitJob,
};
use crate::plugins::{ListPlugins, ReleasePlugin, RemovePlugin, ShowPlugin};
use crate::remote::{Headers, Input, Method, Remote};
use crate::run::{RunParallel, RunTask};
use crate::schedules::{
    ListSchedules, PauseSchedule, PutSchedule, RemoveSchedule, ResumeSchedule, ShowSchedule,
    TriggerSchedule,
};
use crate::tasks::{CancelTask, FindTask, ListCheckpoints, ListTasks, RetryTask};
use crate::tokens::{CreateToken, ListTokens, RevokeJwt, RevokeToken, ShowToken};
use crate::tools::{CheckTool, ListTools, RunTool, ShowTool};
use crate::uploads::{DeleteUpload, ListUploads};

/// A verb without its type, for doors that treat all alike.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name in the audit and in messages, for example `jobs.submit`.
    pub name: &'static str,
    /// What a caller must be allowed.
    pub permission: Permission,
    /// The method.
    pub method: Method,
    /// The path, with fields in braces.
    pub path: &'static str,
    /// Does it.
    pub invoke: fn(Api, Caller, Input) -> Answering,
}

/// The answer to come.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send>>;

/// What a verb answers, for doors that treat all alike.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What its headers say.
    pub headers: Headers,
    /// The JSON of its body.
    pub body: Value,
}

/// Every verb that can be called from afar with JSON. [`UploadFile`](crate::UploadFile),
/// [`OpenUpload`](crate::OpenUpload) and [`OpenFile`](crate::OpenFile) carry bytes, and have a door of
/// their own.
pub const TABLE: &[Entry] = &[
    entry::<SubmitJob>(),
    entry::<RunTask>(),
    entry::<RunParallel>(),
    entry::<ListJobs>(),
    entry::<FindJob>(),
    entry::<ListEvents>(),
    entry::<CancelJob>(),
    entry::<CancelAllJobs>(),
    entry::<DeleteJob>(),
    entry::<RetryJob>(),
    entry::<ListTasks>(),
    entry::<FindTask>(),
    entry::<ListCheckpoints>(),
    entry::<CancelTask>(),
    entry::<RetryTask>(),
    entry::<ListApprovals>(),
    entry::<ApproveTask>(),
    entry::<DenyTask>(),
    entry::<ListFiles>(),
    entry::<CheckTool>(),
    entry::<ListCache>(),
    entry::<ClearCache>(),
    entry::<ListBreakers>(),
    entry::<ResetBreaker>(),
    entry::<ResetBreakers>(),
    entry::<ListPlugins>(),
    entry::<ShowPlugin>(),
    entry::<RemovePlugin>(),
    entry::<ReleasePlugin>(),
    entry::<ListTools>(),
    entry::<ShowTool>(),
    entry::<RunTool>(),
    entry::<ListSchedules>(),
    entry::<PutSchedule>(),
    entry::<ShowSchedule>(),
    entry::<RemoveSchedule>(),
    entry::<PauseSchedule>(),
    entry::<ResumeSchedule>(),
    entry::<TriggerSchedule>(),
    entry::<CreateToken>(),
    entry::<ListTokens>(),
    entry::<ShowToken>(),
    entry::<RevokeToken>(),
    entry::<RevokeJwt>(),
    entry::<ListAudit>(),
    entry::<ListUploads>(),
    entry::<DeleteUpload>(),
];

const fn entry<R: Remote>() -> Entry {
    Entry {
        name: R::NAME,
        permission: R::PERMISSION,
        method: R::METHOD,
        path: R::PATH,
        invoke: invoke::<R>,
    }
}

fn invoke<R: Remote>(api: Api, caller: Caller, mut input: Input) -> Answering {
    Box::pin(async move {
        let read = R::read(&mut input).and_then(|read| input.finish().map(|()| read));
        let operation = match read {
            Ok(operation) => operation,
            Err(error) => {
                api.refused(R::NAME, &caller, error.code()).await;
                return Err(error);
            }
        };
        let output = api.invoke(operation, caller).await?;
        let body = serde_json::to_value(&output).map_err(ApiError::Unserializable)?;
        Ok(Answer { status: R::status(&output), headers: R::headers(&output), body })
    })
}
