//! `plugins.grant`: what the operator allows a plugin that came with the host.

use std::sync::Arc;

use apflow_engine::{Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::capability::Grant;
use apflow_model::plugin::Plugin;

use crate::error::ApiError;
use crate::operation::Operation;

/// Grants a plugin that came with the host exactly these capabilities.
#[derive(Debug)]
pub struct GrantPlugin {
    /// Its name.
    pub name: String,
    /// What the operator allows it.
    pub grants: Vec<Grant>,
    /// Whether the operator allows all that it asks for.
    pub grant_all: bool,
}

impl Operation for GrantPlugin {
    const NAME: &'static str = "plugins.grant";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = Plugin;

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Plugin, ApiError> {
        let granted = engine.grant_builtin(&self.name, self.grants, self.grant_all).await?;
        Ok(granted.ok_or(EngineError::UnknownPlugin(self.name))?)
    }
}
