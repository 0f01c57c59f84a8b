//! `plugins.release`: lets a quarantined plugin run again.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lets one plugin run again that hosts ended with. One that may run stays as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReleasePlugin {
    /// Its name.
    pub name: String,
}

impl Operation for ReleasePlugin {
    const NAME: &'static str = "plugins.release";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = Installed;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Installed, ApiError> {
        Ok(engine.release_plugin(&self.name).await?)
    }
}

impl Remote for ReleasePlugin {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/plugins/{name}/release";
    const ERRORS: &'static [Code] = &[Code::UnknownPlugin];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
