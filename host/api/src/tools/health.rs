//! `tools.health`: whether a tool can do its work.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::tool::health::ToolHealth;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Looks at what a tool needs, and asks the services that it names.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckTool {
    /// Its name.
    pub name: String,
}

impl Operation for CheckTool {
    const NAME: &'static str = "tools.health";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = ToolHealth;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ToolHealth, ApiError> {
        Ok(engine.tool_health(&self.name).await?)
    }
}

impl Remote for CheckTool {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tools/{name}/health";
    const ERRORS: &'static [Code] = &[Code::UnknownTool];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
