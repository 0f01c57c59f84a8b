//! `budgets.set`: sets the cap of a principal.

use std::sync::Arc;

use apflow_engine::{Engine, NewBudget};
use apflow_model::access::{Permission, Principal};
use apflow_model::budget::{BudgetUnit, CAP_MAX, Period};
use apflow_model::token::PrincipalName;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::ShownBudget;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Sets what a principal may spend in a period, or changes it: what is spent stays so, and tasks go on
/// that waited for more.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SetBudget {
    /// Whose it is.
    pub principal: PrincipalName,
    /// What is counted.
    pub unit: BudgetUnit,
    /// How long it lasts before it begins anew.
    pub period: Period,
    /// The most that may be spent, in its unit.
    #[schemars(range(max = CAP_MAX), example = 1_000_000)]
    pub cap: u64,
    /// The cost policy that says what happens on the way to the cap.
    pub policy: Option<String>,
}

/// What stands in the body.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cap {
    #[serde(deserialize_with = "whole")]
    cap: u64,
    #[serde(default)]
    policy: Option<String>,
}

/// Reads a whole number, also one that its writer gave a point: `1000.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(deserializer)?.to_string();
    number.strip_suffix(".0").unwrap_or(&number).parse().map_err(|_| {
        D::Error::custom(format!("`cap` is {number}: expected a whole number from 0 to {CAP_MAX}"))
    })
}

impl Operation for SetBudget {
    const NAME: &'static str = "budgets.set";
    const PERMISSION: Permission = Permission::PoliciesManage;
    type Output = ShownBudget;

    fn target(&self) -> Option<String> {
        Some(self.principal.clone().into())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ShownBudget, ApiError> {
        let Self { principal, unit, period, cap, policy } = self;
        if cap > CAP_MAX {
            return Err(ApiError::InvalidRequest(format!(
                "`cap` is {cap}: expected 0 to {CAP_MAX}"
            )));
        }
        let new = NewBudget { principal: principal.into(), unit, period, cap, policy };
        Ok(engine.set_budget(new).await?.into())
    }
}

impl Remote for SetBudget {
    const METHOD: Method = Method::Put;
    const PATH: &'static str = "/api/v1/budgets/{principal}/{unit}/{period}";
    const BODY: Body = Body::Fields(&["cap", "policy"]);
    const ERRORS: &'static [Code] = &[Code::UnknownPolicy];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("`cap` is missing".to_owned());
        input.body.as_ref().ok_or_else(missing)?;
        let Cap { cap, policy } = input.take_body()?;
        Ok(Self {
            principal: input.require("principal")?,
            unit: input.require("unit")?,
            period: input.require("period")?,
            cap,
            policy,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_whole_number_may_have_a_point() {
        let cap = |cap: Value| {
            serde_json::from_value(json!({ "cap": cap })).ok().map(|Cap { cap, .. }| cap)
        };
        assert_eq!(
            (cap(json!(7)), cap(json!(7.0)), cap(json!(1e15))),
            (Some(7), Some(7), Some(CAP_MAX))
        );
        for other in [json!(7.5), json!(-1), json!(-1.0), json!(1e30), json!("7"), json!(null)] {
            assert_eq!(cap(other.clone()), None, "{other}");
        }
    }
}
