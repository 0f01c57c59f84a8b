//! How often callers may call, as `policies.yaml` says at this moment.

use std::collections::BTreeMap;

use apflow_model::access::Principal;
use apflow_model::job::JobSpec;
use apflow_model::rate::{Counted, PerMinute, Standing, Wish};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Counts a request of a caller. Answers how much is left of each of its limits.
    ///
    /// # Errors
    ///
    /// [`EngineError::RateLimited`]; nothing is counted then.
    pub fn count_request(&self, caller: &Principal) -> Result<Vec<Standing>, EngineError> {
        let policies = self.settings.policies.get();
        if !policies.rates.enabled {
            return Ok(Vec::new());
        }
        let role = policies.roles.find(&caller.role);
        let each = role.map_or_else(PerMinute::default, |role| role.requests_per_minute);
        let together = role.map_or(PerMinute::ANY, |role| role.requests_per_minute_together);
        let wish = |counted: Counted, limit: PerMinute| {
            limit.limit().map(|limit| Wish { counted, calls: 1, limit })
        };
        let wishes = [
            wish(Counted::Principal(caller.name.clone()), each),
            wish(Counted::Role(caller.role.clone()), together),
        ];
        let wishes: Vec<_> = wishes.into_iter().flatten().collect();
        self.rates.take(&wishes).map_err(EngineError::RateLimited)
    }

    /// Counts the tasks of a job, each for its tool or executor.
    ///
    /// # Errors
    ///
    /// [`EngineError::RateLimited`]; nothing is counted then.
    pub(crate) fn count_tasks(&self, spec: &JobSpec) -> Result<(), EngineError> {
        let policies = self.settings.policies.get();
        if !policies.rates.enabled {
            return Ok(());
        }
        let limits = &policies.rates.per_tool;
        let mut wishes = BTreeMap::<&str, Wish>::new();
        for task in &spec.tasks {
            let limit = limits.get(&task.executor).copied().and_then(PerMinute::limit);
            let Some(limit) = limit else { continue };
            let counted = || Counted::Tool(task.executor.clone());
            let wish = wishes.entry(&task.executor);
            wish.or_insert_with(|| Wish { counted: counted(), calls: 0, limit }).calls += 1;
        }
        let wishes: Vec<_> = wishes.into_values().collect();
        self.rates.take(&wishes).map(drop).map_err(EngineError::RateLimited)
    }
}
