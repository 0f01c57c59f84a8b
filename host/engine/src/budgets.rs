//! Budgets of principals, as callers see and set them.
//!
//! What is set aside and charged, the port of an attempt says.

use apflow_model::budget::{Budget, Period};
use apflow_model::budget_key::BudgetKey;
use apflow_model::clock::Timestamp;
use apflow_model::visible::Visible;
use apflow_store::NewBudget;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Lists the budgets of principals that are seen, of one or of all, in the order of their keys and
    /// after `after`; and whether there are more than `limit`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_budgets(
        &self,
        principal: Option<String>,
        after: Option<&BudgetKey>,
        limit: u32,
        visible: Visible<'_>,
    ) -> Result<(Vec<Budget>, bool), EngineError> {
        let Ok(principal) = visible.narrow(principal) else { return Ok((Vec::new(), false)) };
        let mut budgets = self.store.list_budgets(principal.as_deref()).await?;
        budgets.sort_by_cached_key(BudgetKey::of);
        let is_after = |budget: &Budget| after.is_none_or(|after| BudgetKey::of(budget) > *after);
        let now = self.now();
        let mut rest = budgets.into_iter().filter(is_after).map(|budget| present(budget, now));
        let page = rest.by_ref().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        Ok((page, rest.next().is_some()))
    }

    /// Sets a budget of a principal, or changes the one that there is. Tasks that waited for it go on.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownPolicy`] and [`EngineError::Store`]; nothing is changed then.
    pub async fn set_budget(&self, new: NewBudget) -> Result<Budget, EngineError> {
        if let Some(policy) = &new.policy
            && self.cost_policies().find(policy).is_none()
        {
            return Err(EngineError::UnknownPolicy(policy.clone()));
        }
        let budget = self.store.put_budget(new, self.now()).await?;
        self.purse.has_news();
        self.bell.notify_one();
        Ok(budget)
    }

    /// Removes a budget of a principal. Tasks that waited for it go on. Answers what it was.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownBudget`] and [`EngineError::Store`]; nothing is changed then.
    pub async fn remove_budget(&self, key: BudgetKey) -> Result<Budget, EngineError> {
        let budgets = self.store.list_budgets(Some(&key.principal)).await?;
        let found = budgets.into_iter().find(|budget| BudgetKey::of(budget) == key);
        let Some(budget) = found else { return Err(EngineError::UnknownBudget(key)) };
        let BudgetKey { principal, unit, period } = &key;
        if !self.store.remove_budget(principal, *unit, *period, self.now()).await? {
            return Err(EngineError::UnknownBudget(key));
        }
        self.bell.notify_one();
        Ok(present(budget, self.now()))
    }
}

/// A budget as it stands at a moment. One whose period is over begins anew in the database when it is
/// next used; nothing is spent of it until then.
fn present(budget: Budget, now: Timestamp) -> Budget {
    let is_over = budget.ends_at.is_some_and(|end| end <= now);
    match budget.period.around(now).filter(|_| is_over && budget.period != Period::All) {
        None => budget,
        Some((start, end)) => Budget {
            started_at: start,
            ends_at: Some(end),
            spent: 0,
            lost: 0,
            overrun: budget.reserved.saturating_sub(budget.cap),
            ..budget
        },
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::budget::{BudgetScope, BudgetUnit};

    use super::*;

    #[test]
    fn a_budget_whose_period_is_over_is_shown_with_nothing_spent() {
        let day = |day: i64| Timestamp::from_unix_ms(day * 86_400_000);
        let budget = Budget {
            scope: BudgetScope::Principal,
            owner: "ada".to_owned(),
            unit: BudgetUnit::Tokens,
            period: Period::Day,
            started_at: day(5),
            ends_at: Some(day(6)),
            cap: 100,
            reserved: 10,
            spent: 80,
            lost: 5,
            overrun: 0,
            policy: None,
        };
        assert_eq!(present(budget.clone(), day(5)), budget);
        let anew = present(budget.clone(), day(7));
        assert_eq!((anew.started_at, anew.ends_at), (day(7), Some(day(8))));
        assert_eq!((anew.spent, anew.left()), (0, 90));
        let (period, ends_at) = (Period::All, None);
        let lasting = Budget { period, ends_at, ..budget };
        assert_eq!(present(lasting.clone(), day(7)), lasting);
    }
}
