//! Plugins that are not run because hosts ended while they ran.
//!
//! It quarantines nothing: the store does, when it takes up the work of a host that ended.

use std::sync::Arc;

use apflow_model::fault::{Fault, FaultCode};
use apflow_model::plugin::{Installed, Plugin};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Lets a quarantined plugin run again. One that is not quarantined stays as it is.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownPlugin`], [`EngineError::Store`] and [`EngineError::DataDir`].
    pub async fn release_plugin(self: &Arc<Self>, name: &str) -> Result<Installed, EngineError> {
        self.store.release_plugin(name).await?;
        self.registry.forget(name);
        let found = self.find_plugin(name).await?;
        found.ok_or_else(|| EngineError::UnknownPlugin(name.to_owned()))
    }
}

/// Refuses to run a quarantined plugin.
pub(crate) fn check(plugin: &Plugin) -> Result<(), Fault> {
    if plugin.quarantined_at.is_none() {
        return Ok(());
    }
    let name = &plugin.manifest.name;
    let message = format!(
        "hosts ended while `{name}` ran, so it is quarantined: load another version of it, or let \
         it run again with `apflow-host plugins release {name}`"
    );
    Err(Fault::new(FaultCode::PluginQuarantined, message))
}
