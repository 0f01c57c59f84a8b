//! What was used and what it cost, as callers may see it.

use apflow_model::usage_report::{UsageBy, UsageKey, UsageSums};
use apflow_model::visible::Visible;
use apflow_store::{UsageFilter, UsagePage};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Adds up the charges that are seen: all together, and for each of what `by` says. `limit` is
    /// brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn report_usage(
        &self,
        by: Option<UsageBy>,
        mut filter: UsageFilter,
        after: Option<&UsageKey>,
        limit: u32,
        visible: Visible<'_>,
    ) -> Result<UsagePage, EngineError> {
        let Ok(principal) = visible.narrow(filter.principal) else {
            return Ok(UsagePage { rows: Vec::new(), total: UsageSums::default(), next: None });
        };
        filter.principal = principal;
        Ok(self.store.report_usage(by, &filter, after, limit).await?)
    }
}
