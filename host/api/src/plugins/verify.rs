//! `plugins.verify`: whether a plugin is what was checked and consented to.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::verification::PluginVerification;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Looks at the bytes of one plugin, at what they import, at its compiled code and at what was
/// consented to, and changes nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerifyPlugin {
    /// Its name.
    pub name: String,
}

impl Operation for VerifyPlugin {
    const NAME: &'static str = "plugins.verify";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = PluginVerification;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(
        self,
        engine: &Arc<Engine>,
        _: &Principal,
    ) -> Result<PluginVerification, ApiError> {
        Ok(engine.verify_plugin(&self.name).await?)
    }
}

impl Remote for VerifyPlugin {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/plugins/{name}/verify";
    const ERRORS: &'static [Code] = &[Code::UnknownPlugin, Code::DataDirUnusable];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { name: input.require("name")? })
    }
}
