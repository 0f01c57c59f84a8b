//! `audit.list`: who did what and when, a page at a time.

use std::sync::Arc;

use apflow_engine::{AuditFilter, Engine};
use apflow_model::access::{Permission, Principal};
use apflow_model::audit::{Decision, Line};
use apflow_model::clock::Timestamp;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// How many lines a page holds when the caller does not say.
const LIMIT_USUAL: u32 = 100;

/// The most lines that a page may hold.
const LIMIT_MAX: u32 = 1_000;

/// Lists lines of the audit, newest first.
#[derive(Debug, Default)]
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
    /// How many, from 1 to 1000; 100 if not said.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<u64>,
}

/// A page of the audit.
#[derive(Debug, Serialize)]
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
        let limit = self.limit.unwrap_or(LIMIT_USUAL);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = format!("`limit` is {limit}: expected 1 to {LIMIT_MAX}");
            return Err(ApiError::InvalidRequest(message));
        }
        let Self { principal, verb, target, decision, since, until, cursor, .. } = self;
        let filter = AuditFilter { principal, verb, target, decision, since, until };
        let page = engine.list_audit(&filter, cursor, limit).await?;
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
            limit: input.take("limit")?,
            cursor: input.take("cursor")?,
        })
    }
}
