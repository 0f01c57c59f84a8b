//! `breakers.reset_all`: closes every breaker.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Forgets all that is known against any executor or destination.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResetBreakers;

/// How many breakers were reset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ResetAll {
    /// Those that were open or had counted failures.
    #[schemars(example = 2)]
    pub reset: u64,
}

impl Operation for ResetBreakers {
    const NAME: &'static str = "breakers.reset_all";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = ResetAll;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ResetAll, ApiError> {
        Ok(ResetAll { reset: engine.reset_breakers().await? })
    }
}

impl Remote for ResetBreakers {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/breakers/reset";

    fn read(_: &mut Input) -> Result<Self, ApiError> {
        Ok(Self)
    }
}
