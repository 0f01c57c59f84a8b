//! `policies.show`: one cost policy.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;

use super::ShownPolicy;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Shows one cost policy.
#[derive(Debug, JsonSchema)]
pub struct ShowPolicy {
    /// Its name.
    pub name: String,
}

impl Operation for ShowPolicy {
    const NAME: &'static str = "policies.show";
    const PERMISSION: Permission = Permission::PoliciesManage;
    type Output = ShownPolicy;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ShownPolicy, ApiError> {
        Ok(engine.show_cost_policy(&self.name).await?.into())
    }
}

impl Remote for ShowPolicy {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/policies/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownPolicy];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
