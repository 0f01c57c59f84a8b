//! Installed plugins: finding them, and making them ready to run.

use std::borrow::Cow;
use std::sync::Arc;

use apflow_model::plugin::{Digest, Installed, Plugin};
use apflow_model::reader::FileFault;
use apflow_store::PluginRevision;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::{ReadyPlugin, Seen};

impl Engine {
    /// Lists the installed plugins by name. While `grants.lock` has a fault, none has a grant.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails, [`EngineError::DataDir`] when the lock cannot
    /// be read.
    pub async fn list_plugins(&self) -> Result<Vec<Installed>, EngineError> {
        let plugins = self.store.list_plugins().await?;
        plugins.into_iter().map(|plugin| self.with_grants(plugin)).collect()
    }

    /// Finds an installed plugin. While `grants.lock` has a fault, it has no grant.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails, [`EngineError::DataDir`] when the lock cannot
    /// be read.
    pub async fn find_plugin(&self, name: &str) -> Result<Option<Installed>, EngineError> {
        let found = self.store.find_plugin(name).await?;
        found.map(|plugin| self.with_grants(plugin)).transpose()
    }

    /// What is wrong with `grants.lock`. Nothing, as a rule.
    ///
    /// # Errors
    ///
    /// [`EngineError::DataDir`] when it cannot be read.
    pub fn lock_faults(&self) -> Result<Vec<FileFault>, EngineError> {
        match self.consents.current() {
            Ok(_) => Ok(Vec::new()),
            Err(EngineError::InvalidLock { faults, .. }) => Ok(faults),
            Err(error) => Err(error),
        }
    }

    fn with_grants(&self, plugin: Plugin) -> Result<Installed, EngineError> {
        let grants = match self.consents.granted(&plugin) {
            Err(EngineError::InvalidLock { .. }) => Vec::new(),
            granted => granted?,
        };
        Ok(Installed::new(plugin, grants))
    }

    /// The plugin of this name as of a revision, without a look in the database where it is known.
    pub(crate) async fn ready_plugin_at(
        self: &Arc<Self>,
        name: &str,
        revision: Option<PluginRevision>,
    ) -> Result<Option<Arc<ReadyPlugin>>, EngineError> {
        let known = revision.and_then(|revision| self.registry.find_at(name, revision));
        match known {
            Some(ready) => Ok(Some(ready)),
            None => self.ready_plugin(name).await,
        }
    }

    /// Makes an installed plugin ready to run. None when there is none of this name.
    pub(crate) async fn ready_plugin(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Option<Arc<ReadyPlugin>>, EngineError> {
        // Many ask for the same plugin at once, and one look in the database answers all who asked
        // before it began.
        let lookup = self.registry.lookup(name);
        let asked = lookup.ask();
        let mut seen = lookup.seen.lock().await;
        if let Some(ready) = seen.since(asked) {
            return Ok(Some(ready));
        }
        let begun = lookup.ask();
        let found = self.look_up(name).await?;
        *seen = Seen { begun, ready: found.clone() };
        Ok(found)
    }

    async fn look_up(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Option<Arc<ReadyPlugin>>, EngineError> {
        let (found, revision) = self.store.find_plugin_at(name).await?;
        let Some(installed) = found else {
            self.registry.forget(name);
            return Ok(None);
        };
        if let Some(ready) = self.registry.find(&installed, revision) {
            return Ok(Some(ready));
        }
        let _making = self.registry.making.lock().await;
        if let Some(ready) = self.registry.find(&installed, revision) {
            return Ok(Some(ready));
        }
        let engine = Arc::clone(self);
        let making = tokio::task::spawn_blocking(move || engine.make_ready(installed));
        Ok(Some(making.await??))
    }

    fn make_ready(&self, installed: Plugin) -> Result<Arc<ReadyPlugin>, EngineError> {
        let file = format!("the component of `{}`", installed.manifest.name);
        let refused = |source| EngineError::of_component(&file, source);
        let bytes = self.unchanged_component(&installed)?;
        let fuel = installed.manifest.limits.fuel.is_some();
        let compiled = self.sandbox.compile(&bytes, fuel).map_err(refused)?;
        let linked = self.linked_by(&installed.manifest, installed.tool.as_ref());
        let program = self.sandbox.link(&compiled, &linked).map_err(refused)?;
        Ok(self.registry.put(ReadyPlugin::new(installed, program)?))
    }

    /// Checks that the component is there, and is what was installed.
    pub(crate) fn check_component(&self, installed: &Plugin) -> Result<(), EngineError> {
        self.unchanged_component(installed).map(drop)
    }

    /// The bytes of the component, when they are what was installed.
    pub(crate) fn unchanged_component(
        &self,
        installed: &Plugin,
    ) -> Result<Cow<'static, [u8]>, EngineError> {
        let bytes = self.component_bytes(&installed.digest)?;
        if apflow_sandbox::digest(&bytes) != installed.digest {
            return Err(EngineError::ChangedComponent(installed.manifest.name.clone()));
        }
        Ok(bytes)
    }

    fn component_bytes(&self, digest: &Digest) -> Result<Cow<'static, [u8]>, EngineError> {
        match self.registry.builtins.iter().find(|builtin| builtin.digest == *digest) {
            Some(builtin) => Ok(builtin.component.into()),
            None => Ok(self.components.read(digest)?.into()),
        }
    }
}
