//! `plugins.show`: one plugin with its capabilities, grants and schemas.

use std::sync::Arc;

use apflow_engine::{Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Shows one plugin.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShowPlugin {
    /// Its name.
    pub name: String,
}

impl Operation for ShowPlugin {
    const NAME: &'static str = "plugins.show";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = Installed;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Installed, ApiError> {
        let found = engine.find_plugin(&self.name).await?;
        Ok(found.ok_or(EngineError::UnknownPlugin(self.name))?)
    }
}

impl Remote for ShowPlugin {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/plugins/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownPlugin];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
