//! `policies.put`: makes a cost policy, or writes one anew.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::cost_policy::{
    CostPolicy, NAME_BYTES_MAX, NAME_PATTERN, THRESHOLDS_MAX, Threshold,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShownPolicy;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Makes a cost policy, or writes one anew. It counts from the next decision on, also for tasks that
/// run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PutPolicy {
    /// Its name.
    #[schemars(length(max = NAME_BYTES_MAX), regex(pattern = NAME_PATTERN), example = &"careful")]
    pub name: String,
    /// What happens at which share of a budget: 1 to 16, in any order.
    #[schemars(length(min = 1, max = THRESHOLDS_MAX))]
    pub thresholds: Vec<Threshold>,
}

/// What stands in the body.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    thresholds: Vec<Threshold>,
}

impl Operation for PutPolicy {
    const NAME: &'static str = "policies.put";
    const PERMISSION: Permission = Permission::PoliciesManage;
    type Output = ShownPolicy;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<ShownPolicy, ApiError> {
        let policy = CostPolicy { name: self.name, thresholds: self.thresholds };
        Ok(engine.put_cost_policy(policy, &caller.name).await?.into())
    }
}

impl Remote for PutPolicy {
    const METHOD: Method = Method::Put;
    const PATH: &'static str = "/api/v1/policies/{name}";
    const BODY: Body = Body::Fields(&["thresholds"]);
    const ERRORS: &'static [Code] = &[Code::InvalidPolicy, Code::PolicyInFile];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("`thresholds` is missing".to_owned());
        input.body.as_ref().ok_or_else(missing)?;
        let Thresholds { thresholds } = input.take_body()?;
        Ok(Self { name: input.require("name")?, thresholds })
    }
}
