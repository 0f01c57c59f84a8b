//! `tools.list`: the tools that are installed.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lists the installed tools by name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListTools;

/// The installed tools.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToolList {
    /// The tools by name.
    pub tools: Vec<Installed>,
}

impl Operation for ListTools {
    const NAME: &'static str = "tools.list";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = ToolList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ToolList, ApiError> {
        Ok(ToolList { tools: engine.list_tools().await? })
    }
}

impl Remote for ListTools {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tools";

    fn read(_: &mut Input) -> Result<Self, ApiError> {
        Ok(Self)
    }
}
