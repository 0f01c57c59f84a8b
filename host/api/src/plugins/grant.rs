//! `plugins.grant`: what the operator allows a plugin that came with the host.

use std::sync::Arc;

use apflow_engine::{Approval, Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;

use crate::error::ApiError;
use crate::operation::Operation;

/// Grants a plugin that came with the host what the operator consents to.
#[derive(Debug)]
pub struct GrantPlugin {
    /// Its name.
    pub name: String,
    /// How the operator consents.
    pub approval: Approval,
}

impl Operation for GrantPlugin {
    const NAME: &'static str = "plugins.grant";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = Installed;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Installed, ApiError> {
        let granted = engine.grant_builtin(&self.name, self.approval).await?;
        Ok(granted.ok_or(EngineError::UnknownPlugin(self.name))?)
    }
}
