//! `budgets.remove`: lifts the cap of a principal.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::budget::{BudgetUnit, Period};
use apflow_model::budget_key::BudgetKey;
use apflow_model::token::PrincipalName;
use schemars::JsonSchema;

use super::ShownBudget;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Removes one budget of a principal: nothing of it is counted any more, and tasks go on that waited
/// for it. What was charged stays in the reports.
#[derive(Debug, JsonSchema)]
pub struct RemoveBudget {
    /// Whose it is.
    pub principal: PrincipalName,
    /// What it counts.
    pub unit: BudgetUnit,
    /// How long it lasts before it begins anew.
    pub period: Period,
}

impl Operation for RemoveBudget {
    const NAME: &'static str = "budgets.remove";
    const PERMISSION: Permission = Permission::PoliciesManage;
    type Output = ShownBudget;

    fn target(&self) -> Option<String> {
        Some(self.principal.clone().into())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ShownBudget, ApiError> {
        let Self { principal, unit, period } = self;
        let key = BudgetKey { principal: principal.into(), unit, period };
        Ok(engine.remove_budget(key).await?.into())
    }
}

impl Remote for RemoveBudget {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/budgets/{principal}/{unit}/{period}";
    const ERRORS: &'static [Code] = &[Code::UnknownBudget];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self {
            principal: input.require("principal")?,
            unit: input.require("unit")?,
            period: input.require("period")?,
        })
    }
}
