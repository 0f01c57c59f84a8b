//! `plugins.remove`: takes a plugin away.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Plugin;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Removes one plugin. Tasks that still wait for it will fail.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RemovePlugin {
    /// Its name.
    pub name: String,
}

impl Operation for RemovePlugin {
    const NAME: &'static str = "plugins.remove";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = Plugin;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Plugin, ApiError> {
        Ok(engine.remove(&self.name).await?)
    }
}

impl Remote for RemovePlugin {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/plugins/{name}";
    const ERRORS: &'static [Code] = &[Code::UnknownPlugin, Code::BuiltinPlugin];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
