//! `jobs.list`: jobs, newest first, a page at a time.

use std::sync::Arc;

use apflow_engine::{Engine, JobFilter};
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::state::JobState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the jobs of the caller, or everybody's for who may manage jobs, newest first.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListJobs {
    /// In this state.
    pub state: Option<JobState>,
    /// With at least one task of this executor.
    pub executor: Option<String>,
    /// With at least one task of this tool.
    pub tool: Option<String>,
    /// Submitted by this principal.
    pub principal: Option<String>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
    /// Which page.
    #[serde(flatten)]
    pub page: Page<JobId>,
}

/// A page of jobs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
        let limit = self.page.limit()?;
        let filter = JobFilter {
            states: self.state.into_iter().collect(),
            executor: self.executor,
            tool: self.tool,
            principal: self.principal,
            since: self.since,
            until: self.until,
        };
        let page = engine.list_jobs(filter, self.page.cursor, limit, caller.sees()).await?;
        Ok(JobList { jobs: page.jobs, cursor: page.next })
    }
}

impl Remote for ListJobs {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/jobs";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            state: input.take_json("state")?,
            executor: input.take("executor")?,
            tool: input.take("tool")?,
            principal: input.take("principal")?,
            since: input.take_json("since")?,
            until: input.take_json("until")?,
            page: Page::read(input)?,
        })
    }
}
