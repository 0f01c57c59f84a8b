//! `audit.list`: who did what and when, a page at a time.

use std::sync::Arc;

use apflow_engine::{AuditFilter, Engine};
use apflow_model::access::{Permission, Principal};
use apflow_model::audit::{Decision, Line};
use apflow_model::clock::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists lines of the audit, newest first.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListAudit {
    /// Only what this principal did.
    pub principal: Option<String>,
    /// Only this verb, for example `jobs.submit`.
    pub verb: Option<String>,
    /// Only what was about this id or name.
    pub target: Option<String>,
    /// Only what was decided like this.
    pub decision: Option<Decision>,
    /// Decided at this moment or later.
    pub since: Option<Timestamp>,
    /// Decided before this moment.
    pub until: Option<Timestamp>,
    /// Which page.
    #[serde(flatten)]
    pub page: Page<u64>,
}

/// A page of the audit.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditList {
    /// The lines. A page is chosen from 20,000 lines, so it may be short, or empty, while there is a
    /// cursor.
    pub lines: Vec<Line>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<u64>,
}

impl Operation for ListAudit {
    const NAME: &'static str = "audit.list";
    const PERMISSION: Permission = Permission::AuditRead;
    type Output = AuditList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<AuditList, ApiError> {
        let limit = self.page.limit()?;
        let Self { principal, verb, target, decision, since, until, page } = self;
        let filter = AuditFilter { principal, verb, target, decision, since, until };
        let page = engine.list_audit(&filter, page.cursor, limit).await?;
        Ok(AuditList { lines: page.lines, cursor: page.next })
    }
}

impl Remote for ListAudit {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/audit";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            principal: input.take("principal")?,
            verb: input.take("verb")?,
            target: input.take("target")?,
            decision: input.take("decision")?,
            since: input.take_json("since")?,
            until: input.take_json("until")?,
            page: Page::read(input)?,
        })
    }
}
