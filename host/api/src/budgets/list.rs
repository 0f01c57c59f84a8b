//! `budgets.list`: the budgets of principals, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::budget_key::BudgetKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShownBudget;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the budgets of the caller, or everybody's for who may manage jobs, by principal.
#[derive(Debug, Default, JsonSchema)]
pub struct ListBudgets {
    /// Only those of this principal.
    pub principal: Option<String>,
    /// Which page.
    #[schemars(flatten)]
    pub page: Page<BudgetKey>,
}

/// A page of budgets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BudgetList {
    /// The budgets, as they stand in their present periods.
    pub budgets: Vec<ShownBudget>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<BudgetKey>,
}

impl Operation for ListBudgets {
    const NAME: &'static str = "budgets.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = BudgetList;

    fn target(&self) -> Option<String> {
        self.principal.clone()
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<BudgetList, ApiError> {
        let Self { principal, page } = self;
        let limit = page.limit()?;
        let after = page.cursor.as_ref();
        let (listed, has_more) =
            engine.list_budgets(principal, after, limit, caller.sees()).await?;
        let cursor = listed.last().filter(|_| has_more).map(BudgetKey::of);
        Ok(BudgetList { budgets: listed.into_iter().map(ShownBudget::from).collect(), cursor })
    }
}

impl Remote for ListBudgets {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/budgets";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { principal: input.take("principal")?, page: Page::read(input)? })
    }
}
