//! `tasks.list`: tasks of all jobs, newest first, a page at a time.

use std::sync::Arc;

use apflow_engine::{Engine, TaskFilter};
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::TaskSummary;
use apflow_model::state::TaskState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the tasks of the caller, or everybody's for who may manage jobs, newest first.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListTasks {
    /// In this state, or in one of this group.
    pub state: Option<StateFilter>,
    /// Of this executor.
    pub executor: Option<String>,
    /// Of this tool.
    pub tool: Option<String>,
    /// Of a job that this principal submitted.
    pub principal: Option<String>,
    /// Of this job.
    pub job: Option<JobId>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
    /// Which page.
    #[serde(flatten)]
    pub page: Page<TaskId>,
}

/// A state, or a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateFilter {
    /// Has not begun, or waits for its next attempt: blocked, scheduled, ready or parked.
    Pending,
    /// An attempt is under way: running.
    InProgress,
    /// One state.
    #[serde(untagged)]
    State(TaskState),
}

impl StateFilter {
    /// The states that pass.
    fn states(self) -> Vec<TaskState> {
        use TaskState::{Blocked, Parked, Ready, Running, Scheduled};
        match self {
            Self::Pending => vec![Blocked, Scheduled, Ready, Parked],
            Self::InProgress => vec![Running],
            Self::State(state) => vec![state],
        }
    }
}

/// A page of tasks.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// The tasks, without their inputs, outputs and attempts.
    pub tasks: Vec<TaskSummary>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<TaskId>,
}

impl Operation for ListTasks {
    const NAME: &'static str = "tasks.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = TaskList;

    fn target(&self) -> Option<String> {
        self.job.map(|job| job.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<TaskList, ApiError> {
        let limit = self.page.limit()?;
        let filter = TaskFilter {
            states: self.state.map(StateFilter::states).unwrap_or_default(),
            executor: self.executor,
            tool: self.tool,
            principal: self.principal,
            job: self.job,
            since: self.since,
            until: self.until,
        };
        let page = engine.list_tasks(filter, self.page.cursor, limit, caller.sees()).await?;
        Ok(TaskList { tasks: page.tasks, cursor: page.next })
    }
}

impl Remote for ListTasks {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tasks";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            state: input.take_json("state")?,
            executor: input.take("executor")?,
            tool: input.take("tool")?,
            principal: input.take("principal")?,
            job: input.take("job")?,
            since: input.take_json("since")?,
            until: input.take_json("until")?,
            page: Page::read(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_state_or_a_group() {
        let read = |word: &str| serde_json::from_value::<StateFilter>(word.into());
        assert_eq!(read("failed").unwrap(), StateFilter::State(TaskState::Failed));
        assert_eq!(read("in_progress").unwrap().states(), [TaskState::Running]);
        assert!(read("pending").unwrap().states().iter().all(|state| !state.is_end()));
        assert!(read("dead").is_err());
    }
}
