//! `plugins.load`: installs a plugin.

use std::sync::Arc;

use apflow_engine::{Engine, EngineError, LoadPlugin as Load};
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::{DefinitionText, Installed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::said::SaidConsent;
use crate::error::ApiError;
use crate::operation::Operation;

/// Installs a plugin, or replaces the one of its name.
pub struct LoadPlugin {
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// What to call the component in messages.
    pub component_file: String,
    /// The text of its `plugin.yaml` or `tool.yaml`. None: there is none, and the error holds one to
    /// paste.
    pub manifest: Option<DefinitionText>,
    /// What to call the manifest in messages.
    pub manifest_file: String,
    /// How the operator consents to what it asks for.
    pub consent: SaidConsent,
    /// How the operator named it, to be repeated in a command. None when it came in a form.
    pub typed: Option<String>,
}

/// A plugin that was installed, and how long its code took.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LoadedPlugin {
    /// What is installed now, and what it is granted.
    pub plugin: Installed,
    /// Whether its compiled code was in the cache.
    pub is_cached: bool,
    /// How long it took to have its code, in microseconds.
    pub compile_us: u64,
}

impl LoadPlugin {
    /// Looks whether its manifest has faults, before it is sent anywhere.
    ///
    /// # Errors
    ///
    /// [`ApiError::Engine`] with every fault.
    pub fn check_manifest(&self) -> Result<(), ApiError> {
        let Some(Err(faults)) = self.manifest.as_ref().map(DefinitionText::read) else {
            return Ok(());
        };
        Err(EngineError::InvalidManifest { file: self.manifest_file.clone(), faults }.into())
    }
}

impl Operation for LoadPlugin {
    const NAME: &'static str = "plugins.load";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = LoadedPlugin;

    fn target(&self) -> Option<String> {
        self.typed.clone()
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<LoadedPlugin, ApiError> {
        let Some(manifest) = self.manifest else {
            let component = self.component;
            let draft = engine.draft_manifest(component, &self.component_file).await?;
            return Err(ApiError::MissingManifest(format!(
                "there is no {} beside {}; this one would do:\n\n{draft}",
                self.manifest_file, self.component_file
            )));
        };
        let loading = engine.load(Load {
            component: self.component,
            component_file: self.component_file,
            manifest,
            manifest_file: self.manifest_file,
            approval: self.consent.approval()?,
            typed: self.typed,
        });
        // Loading takes long, so its own place in memory costs nothing beside it.
        let loaded = Box::pin(loading).await?;
        Ok(LoadedPlugin {
            plugin: loaded.installed,
            is_cached: loaded.is_cached,
            compile_us: u64::try_from(loaded.took.as_micros()).unwrap_or(u64::MAX),
        })
    }
}
