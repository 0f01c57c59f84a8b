//! `usage.report`: what was used and what it cost, a page at a time.

use std::sync::Arc;

use apflow_engine::{Engine, UsageFilter};
use apflow_model::access::{Permission, Principal};
use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::usage_report::{UsageBy, UsageRow, UsageScope, UsageSums};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Adds up what calls of models used and cost: of the caller's jobs, or of everybody's for who may
/// manage jobs.
#[derive(Debug, Default, JsonSchema)]
pub struct ReportUsage {
    /// A row for each of these. Only the total when left out.
    pub by: Option<UsageBy>,
    /// The same in fewer words; `global` is the total alone. With `by`, it must say the same.
    pub scope: Option<UsageScope>,
    /// Charged at this moment or later.
    pub since: Option<Timestamp>,
    /// Charged before this moment.
    pub until: Option<Timestamp>,
    /// Only of jobs of this principal.
    pub principal: Option<String>,
    /// Only of this executor.
    pub executor: Option<String>,
    /// Only of this tool.
    pub tool: Option<String>,
    /// Only calls of this model, for example `anthropic/claude-sonnet-4`.
    pub model: Option<String>,
    /// Only of this job.
    pub job: Option<JobId>,
    /// Which page of the rows.
    #[schemars(flatten)]
    pub page: Page<String>,
}

/// What was used.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    /// What there is a row for each of. Null for the total alone.
    pub by: Option<UsageBy>,
    /// As it was asked for.
    pub since: Option<Timestamp>,
    /// As it was asked for.
    pub until: Option<Timestamp>,
    /// A row each, by their keys. They add up to the total, but for `tasks`: a task can stand in
    /// several rows.
    pub rows: Vec<UsageRow>,
    /// All of it, with what is on other pages.
    pub total: UsageSums,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<String>,
}

impl ReportUsage {
    /// What there is to be a row for each of.
    fn by(&self) -> Result<Option<UsageBy>, ApiError> {
        match (self.by, self.scope) {
            (by, None) => Ok(by),
            (None, Some(scope)) => Ok(scope.by()),
            (Some(by), Some(scope)) if scope.by() == Some(by) => Ok(Some(by)),
            (Some(by), Some(_)) => Err(ApiError::InvalidRequest(format!(
                "`scope` says something else than `by`, which is `{by}`: leave one of them out"
            ))),
        }
    }
}

impl Operation for ReportUsage {
    const NAME: &'static str = "usage.report";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = UsageReport;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<UsageReport, ApiError> {
        let (by, limit) = (self.by()?, self.page.limit()?);
        let Self { since, until, principal, executor, tool, model, job, page, .. } = self;
        if let (Some(since), Some(until)) = (since, until)
            && until < since
        {
            return Err(ApiError::InvalidRequest(format!(
                "`until` is {until}, which is before `since`, {since}: exchange them"
            )));
        }
        let after = match (by, page.cursor) {
            (Some(by), Some(cursor)) => Some(by.read_key(&cursor).map_err(|reason| {
                ApiError::InvalidRequest(format!("`cursor` is `{cursor}`: {reason}"))
            })?),
            (None, _) | (_, None) => None,
        };
        let filter = UsageFilter { since, until, principal, executor, tool, model, job };
        let page = engine.report_usage(by, filter, after.as_ref(), limit, caller.sees()).await?;
        let cursor = by.zip(page.next).map(|(by, next)| next.text(by));
        Ok(UsageReport { by, since, until, rows: page.rows, total: page.total, cursor })
    }
}

impl Remote for ReportUsage {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/usage";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            by: input.take("by")?,
            scope: input.take("scope")?,
            since: input.take_json("since")?,
            until: input.take_json("until")?,
            principal: input.take("principal")?,
            executor: input.take("executor")?,
            tool: input.take("tool")?,
            model: input.take("model")?,
            job: input.take("job")?,
            page: Page::read(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_shorter_word_for_what_there_is_a_row_for() {
        let by = |by, scope| ReportUsage { by, scope, ..ReportUsage::default() }.by().ok();
        assert_eq!(by(None, None), Some(None));
        assert_eq!(by(None, Some(UsageScope::Global)), Some(None));
        assert_eq!(by(None, Some(UsageScope::Job)), Some(Some(UsageBy::Job)));
        assert_eq!(by(Some(UsageBy::Day), None), Some(Some(UsageBy::Day)));
        assert_eq!(by(Some(UsageBy::Job), Some(UsageScope::Job)), Some(Some(UsageBy::Job)));
        assert_eq!(by(Some(UsageBy::Day), Some(UsageScope::Job)), None);
    }
}
