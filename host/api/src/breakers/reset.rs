//! `breakers.reset`: closes one breaker.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::breaker::BreakerKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Forgets all that is known against one executor or destination.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResetBreaker {
    /// The breaker.
    pub key: BreakerKey,
}

/// The breaker that was reset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ResetOne {
    /// What it guards.
    pub key: BreakerKey,
}

impl Operation for ResetBreaker {
    const NAME: &'static str = "breakers.reset";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = ResetOne;

    fn target(&self) -> Option<String> {
        Some(self.key.to_string())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ResetOne, ApiError> {
        let Self { key } = self;
        if engine.reset_breaker(&key).await? {
            return Ok(ResetOne { key });
        }
        Err(ApiError::UnknownBreaker(key))
    }
}

impl Remote for ResetBreaker {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/breakers/{key}/reset";
    const ERRORS: &'static [Code] = &[Code::UnknownBreaker];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { key: input.require("key")? })
    }
}
