//! Verbs on the budgets of principals. Those of jobs and tasks come with what is submitted.

mod list;
mod remove;
mod set;

use apflow_model::budget::Budget;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use list::{BudgetList, ListBudgets};
pub use remove::RemoveBudget;
pub use set::SetBudget;

/// A budget as callers see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownBudget {
    /// What is known of it.
    #[serde(flatten)]
    pub budget: Budget,
    /// What is neither spent nor set aside, in its unit.
    pub left: u64,
}

impl From<Budget> for ShownBudget {
    fn from(budget: Budget) -> Self {
        Self { left: budget.left(), budget }
    }
}
