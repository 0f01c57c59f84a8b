//! `approvals.list`: what waits for somebody, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::approval::PendingApproval;
use apflow_model::id::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the tasks that wait for an approval, those first that were accepted first: all for who may
/// approve them, else the caller's own.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListApprovals {
    /// Which page. It holds at most 100, since what tools would be given stands in it.
    #[serde(flatten)]
    pub page: Page<TaskId, 20>,
}

/// A page of approvals.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
        let limit = self.page.limit()?;
        let page = engine.list_approvals(self.page.cursor, limit, caller).await?;
        Ok(ApprovalList { approvals: page.approvals, cursor: page.next })
    }
}

impl Remote for ListApprovals {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/approvals";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
