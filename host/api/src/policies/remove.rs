//! `policies.remove`: takes a cost policy away.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;

use super::ShownPolicy;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Removes one cost policy that was put by API. Budgets and tasks that name it go on without one.
#[derive(Debug, JsonSchema)]
pub struct RemovePolicy {
    /// Its name.
    pub name: String,
}

impl Operation for RemovePolicy {
    const NAME: &'static str = "policies.remove";
    const PERMISSION: Permission = Permission::PoliciesManage;
    type Output = ShownPolicy;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ShownPolicy, ApiError> {
        Ok(engine.remove_cost_policy(&self.name).await?.into())
    }
}

impl Remote for RemovePolicy {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/policies/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownPolicy, Code::PolicyInFile];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
