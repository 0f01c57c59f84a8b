//! `tools.show`: one tool with its arguments, flags, capabilities, grants and schemas.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Shows one tool.
#[derive(Debug)]
pub struct ShowTool {
    /// Its name.
    pub name: String,
}

impl Operation for ShowTool {
    const NAME: &'static str = "tools.show";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = Installed;

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Installed, ApiError> {
        Ok(engine.find_tool(&self.name).await?)
    }
}

impl Remote for ShowTool {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/tools/{name}";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
