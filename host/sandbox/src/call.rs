//! What goes into an attempt, and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::fault::Fault;
use apflow_model::hops::Hops;
use apflow_model::money::TokenUse;
use apflow_model::trace::TraceContext;
use apflow_model::usage::Usage;
use serde_json::Value;

use crate::files::Mounts;
use crate::stop::Stop;

/// What an attempt is called with.
pub struct Call<'a> {
    /// The host's id of the task.
    pub task_id: &'a str,
    /// The host's id of the job.
    pub job_id: &'a str,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// The model the caller asked for.
    pub model: Option<&'a str>,
    /// The input, its references resolved.
    pub input: &'a Value,
    /// The task's own time limit. The shorter of it and the plugin's counts.
    pub timeout: Option<Duration>,
    /// What the operator allows. Only what the manifest asks for counts.
    pub granted: Arc<[Grant]>,
    /// What the task keeps of that. None for all of it.
    pub narrowed: Option<Arc<[Grant]>>,
    /// The task's own folders.
    pub mounts: Mounts,
    /// The hosts that the task came through, this one last.
    pub hops: Hops,
    /// The span that its HTTP requests are part of. None when they do not say so.
    pub trace: Option<TraceContext>,
    /// What ends it from outside.
    pub stop: Stop,
}

impl Call<'_> {
    /// The same for every attempt of the task, and for no other task of any host: ids of tasks are
    /// made by each host for itself.
    pub(crate) fn idempotency_key(&self) -> String {
        match self.hops.last() {
            Some(host) => format!("{host}-{}", self.task_id),
            None => self.task_id.to_owned(),
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The output, or why there is none.
    pub result: Result<Value, Fault>,
    /// What was used, whatever the result.
    pub usage: Usage,
    /// Whether a destination failed it, or had not answered yet.
    pub is_outside: bool,
}

impl Ended {
    /// An attempt that ended before its guest began.
    pub fn without_use(fault: Fault) -> Self {
        Self { result: Err(fault), usage: Usage::default(), is_outside: false }
    }
}

/// What a call into a guest gives: its own result, or a trap.
pub(crate) type Called = wasmtime::Result<Result<Returned, Fault>>;

/// What a guest returned.
pub(crate) struct Returned {
    pub(crate) output: Output,
    /// The model tokens it reported.
    pub(crate) tokens: Option<TokenUse>,
}

/// The output of a guest, in the form it comes in.
pub(crate) enum Output {
    /// JSON that an executor wrote: neither measured nor read yet.
    Text(String),
    /// What the host made of a command's streams, which were measured while they were written.
    Value {
        /// The output.
        value: Value,
        /// The bytes of both streams.
        bytes: u64,
    },
}
