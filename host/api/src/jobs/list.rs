//! `jobs.list`: jobs, newest first, a page at a time.

use std::sync::Arc;

use apflow_engine::{Engine, JobFilter};
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::state::JobState;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// How many jobs a page holds when the caller does not say.
const LIMIT_USUAL: u32 = 100;
/// The most jobs a page may hold.
const LIMIT_MAX: u32 = 1_000;

/// Lists the jobs of the caller, or everybody's for who may manage jobs, newest first.
#[derive(Debug, Default)]
pub struct ListJobs {
    /// In one of these states. Empty for any.
    pub states: Vec<JobState>,
    /// With at least one task of this executor.
    pub executor: Option<String>,
    /// Submitted by this principal.
    pub principal: Option<String>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
    /// How many, from 1 to 1000; 100 if not said.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<JobId>,
}

/// A page of jobs.
#[derive(Debug, Serialize)]
pub struct JobList {
    /// The jobs, without their tasks.
    pub jobs: Vec<Job>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<JobId>,
}

impl Operation for ListJobs {
    const NAME: &'static str = "jobs.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = JobList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<JobList, ApiError> {
        let limit = self.limit.unwrap_or(LIMIT_USUAL);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = format!("`limit` is {limit}: expected 1 to {LIMIT_MAX}");
            return Err(ApiError::InvalidRequest(message));
        }
        let filter = JobFilter {
            states: self.states,
            executor: self.executor,
            principal: self.principal,
            since: self.since,
            until: self.until,
        };
        let page = engine.list_jobs(filter, self.cursor, limit, caller.sees()).await?;
        Ok(JobList { jobs: page.jobs, cursor: page.next })
    }
}

impl Remote for ListJobs {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/jobs";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            states: input.take_json("state")?.into_iter().collect(),
            executor: input.take("executor")?,
            principal: input.take("principal")?,
            since: input.take_json("since")?,
            until: input.take_json("until")?,
            limit: input.take("limit")?,
            cursor: input.take("cursor")?,
        })
    }
}
