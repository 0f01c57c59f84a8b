//! `policies.list`: cost policies by name, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShownPolicy;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the cost policies in force, by name.
#[derive(Debug, Default, JsonSchema)]
pub struct ListPolicies {
    /// Which page.
    #[schemars(flatten)]
    pub page: Page<String>,
}

/// A page of cost policies.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicyList {
    /// The policies.
    pub policies: Vec<ShownPolicy>,
    /// What to send as `cursor` for the next page. Null on the last one.
    pub cursor: Option<String>,
}

impl Operation for ListPolicies {
    const NAME: &'static str = "policies.list";
    const PERMISSION: Permission = Permission::PoliciesManage;
    type Output = PolicyList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<PolicyList, ApiError> {
        let limit = self.page.limit()?;
        let (listed, has_more) =
            engine.list_cost_policies(self.page.cursor.as_deref(), limit).await?;
        let cursor = listed.last().filter(|_| has_more).map(|last| last.name().to_owned());
        Ok(PolicyList { policies: listed.into_iter().map(ShownPolicy::from).collect(), cursor })
    }
}

impl Remote for ListPolicies {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/policies";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
