//! `tools.list`: the tools that are installed.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the installed tools by name.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListTools {
    /// Which page.
    #[serde(flatten)]
    pub page: Page<String, 1_000>,
}

/// The installed tools.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToolList {
    /// The tools by name.
    pub tools: Vec<Installed>,
    /// What to send as `cursor` for the next page. Null on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl Operation for ListTools {
    const NAME: &'static str = "tools.list";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = ToolList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ToolList, ApiError> {
        let (tools, cursor) =
            self.page.cut(engine.list_tools().await?, |one| one.plugin.manifest.name.clone())?;
        Ok(ToolList { tools, cursor })
    }
}

impl Remote for ListTools {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tools";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
