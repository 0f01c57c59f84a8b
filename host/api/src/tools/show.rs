//! `tools.show`: one tool with its arguments, flags, capabilities, grants and schemas, and how its
//! runs went.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use apflow_model::tool::metrics::ToolMetrics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Shows one tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShowTool {
    /// Its name.
    pub name: String,
}

/// A tool as it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShownTool {
    /// What is installed, and what it is granted.
    #[serde(flatten)]
    pub installed: Installed,
    /// How its runs went.
    pub metrics: ToolMetrics,
}

impl Operation for ShowTool {
    const NAME: &'static str = "tools.show";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = ShownTool;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ShownTool, ApiError> {
        let installed = engine.find_tool(&self.name).await?;
        Ok(ShownTool { installed, metrics: engine.tool_metrics(&self.name).await? })
    }
}

impl Remote for ShowTool {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tools/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownTool];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
