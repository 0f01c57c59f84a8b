//! `approvals.list`: what waits for somebody, a page at a time.

use std::sync::Arc;

use apflow_engine::{APPROVALS_PER_PAGE_MAX, Engine};
use apflow_model::access::{Permission, Principal};
use apflow_model::approval::PendingApproval;
use apflow_model::id::TaskId;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// How many approvals a page holds when the caller does not say.
const LIMIT_USUAL: u32 = 20;

/// Lists the tasks that wait for an approval, those first that were accepted first: all for who may
/// approve them, else the caller's own.
#[derive(Debug, Default)]
pub struct ListApprovals {
    /// How many, from 1 to 100; 20 if not said.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<TaskId>,
}

/// A page of approvals.
#[derive(Debug, Serialize)]
pub struct ApprovalList {
    /// The tasks, with what their tools would be given.
    pub approvals: Vec<PendingApproval>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<TaskId>,
}

impl Operation for ListApprovals {
    const NAME: &'static str = "approvals.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = ApprovalList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<ApprovalList, ApiError> {
        let limit = self.limit.unwrap_or(LIMIT_USUAL);
        if !(1..=APPROVALS_PER_PAGE_MAX).contains(&limit) {
            let message = format!("`limit` is {limit}: expected 1 to {APPROVALS_PER_PAGE_MAX}");
            return Err(ApiError::InvalidRequest(message));
        }
        let page = engine.list_approvals(self.cursor, limit, caller).await?;
        Ok(ApprovalList { approvals: page.approvals, cursor: page.next })
    }
}

impl Remote for ListApprovals {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/approvals";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { limit: input.take("limit")?, cursor: input.take("cursor")? })
    }
}
