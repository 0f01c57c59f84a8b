//! Installs plugins: check, compile, describe, and only then store.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::{Digest, Plugin};
use apflow_sandbox::{Compiled, Linked, SandboxError};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::grants;
use crate::registry::ReadyPlugin;

/// A plugin to be installed.
pub struct LoadPlugin {
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// What to call the component in messages, for example its path.
    pub component_file: String,
    /// The text of the manifest.
    pub manifest: String,
    /// What to call the manifest in messages.
    pub manifest_file: String,
    /// What the operator allows it.
    pub grants: Vec<Grant>,
    /// Whether the operator allows everything it asks for that needs no value of the operator's.
    pub grant_all: bool,
}

/// A plugin that was installed.
#[derive(Debug)]
pub struct Loaded {
    /// What was installed.
    pub plugin: Plugin,
    /// Whether its code was in the cache.
    pub is_cached: bool,
    /// How long it took to have its code.
    pub took: Duration,
}

impl Engine {
    /// Installs a plugin, or replaces the one of its name.
    ///
    /// Its grants are exactly those of this call. Nothing is stored before all checks have passed.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidManifest`], [`EngineError::Component`] and
    /// [`EngineError::InvalidSchema`] for a plugin that is refused,
    /// [`EngineError::BuiltinPlugin`] for the name of one that came with the host,
    /// [`EngineError::GrantNotAsked`], and [`EngineError::Store`] or [`EngineError::DataDir`] when
    /// it cannot be kept.
    pub async fn load(self: &Arc<Self>, load: LoadPlugin) -> Result<Loaded, EngineError> {
        let manifest = Manifest::parse(&load.manifest).map_err(|faults| {
            EngineError::InvalidManifest { file: load.manifest_file.clone(), faults }
        })?;
        if self.is_builtin(&manifest.name) {
            return Err(EngineError::BuiltinPlugin(manifest.name));
        }
        let grants = grants::of_plugin(&manifest, load.grants, load.grant_all)?;
        let component: Arc<[u8]> = load.component.into();
        let file = load.component_file;
        let (compiled, program) = self.prepare(Arc::clone(&component), &file, &manifest).await?;
        let plugin = self.describe(&compiled, &program, manifest, grants).await;
        let plugin = plugin.map_err(|source| EngineError::of_component(&file, source))?;
        let loaded = Loaded { is_cached: compiled.is_cached, took: compiled.took, plugin };
        let ready = ReadyPlugin::new(loaded.plugin.clone(), program)?;
        let (engine, digest) = (Arc::clone(self), compiled.digest);
        tokio::task::spawn_blocking(move || engine.components.write(&digest, &component)).await??;
        let replaced = self.store.find_plugin(&loaded.plugin.manifest.name).await?;
        if let Err(error) = self.store.put_plugin(loaded.plugin.clone()).await {
            self.drop_component(digest).await?;
            return Err(error.into());
        }
        self.registry.put(ready);
        if let Some(replaced) = replaced.filter(|replaced| replaced.digest != digest) {
            self.drop_component(replaced.digest).await?;
        }
        Ok(loaded)
    }

    /// Grants a plugin that came with the host exactly these capabilities.
    ///
    /// None when no such plugin came with the host.
    ///
    /// # Errors
    ///
    /// [`EngineError::GrantNotAsked`] and [`EngineError::Store`].
    pub async fn grant_builtin(
        &self,
        name: &str,
        grants: Vec<Grant>,
        grant_all: bool,
    ) -> Result<Option<Plugin>, EngineError> {
        if !self.is_builtin(name) {
            return Ok(None);
        }
        let Some(installed) = self.store.find_plugin(name).await? else { return Ok(None) };
        let grants = grants::of_plugin(&installed.manifest, grants, grant_all)?;
        let plugin = Plugin { grants, loaded_at: self.now(), ..installed };
        self.store.put_plugin(plugin.clone()).await?;
        Ok(Some(plugin))
    }

    /// Removes an installed plugin. Tasks that still wait for it will fail.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownPlugin`], [`EngineError::BuiltinPlugin`], and
    /// [`EngineError::Store`] or [`EngineError::DataDir`].
    pub async fn remove(self: &Arc<Self>, name: &str) -> Result<Plugin, EngineError> {
        let unknown = || EngineError::UnknownPlugin(name.to_owned());
        if self.store.find_plugin(name).await?.ok_or_else(unknown)?.builtin {
            return Err(EngineError::BuiltinPlugin(name.to_owned()));
        }
        let removed = self.store.remove_plugin(name).await?.ok_or_else(unknown)?;
        self.registry.forget(name);
        self.drop_component(removed.digest).await?;
        Ok(removed)
    }

    /// Installs each plugin that comes with the host and is missing. With `replace`, one that came
    /// with another version of the host is replaced as well.
    ///
    /// Only the host that dispatches replaces: another could still be running the other version. A
    /// plugin that the operator loaded under the same name stays.
    ///
    /// # Errors
    ///
    /// [`EngineError::Component`] when one is refused, and [`EngineError::Store`].
    pub async fn install_builtins(self: &Arc<Self>, replace: bool) -> Result<(), EngineError> {
        let installed = self.store.list_plugins().await?;
        for builtin in &self.registry.builtins {
            let manifest = builtin.manifest.clone();
            let earlier = installed.iter().find(|plugin| plugin.manifest.name == manifest.name);
            let stays = |plugin: &&Plugin| {
                let is_same = plugin.digest == builtin.digest && plugin.manifest == manifest;
                is_same || !replace || !plugin.builtin
            };
            if earlier.is_some_and(|plugin| stays(&plugin)) {
                continue;
            }
            let file = format!("the component of `{}`", manifest.name);
            let (compiled, program) =
                self.prepare(builtin.component.into(), &file, &manifest).await?;
            // What the operator once granted stays, as far as the new version asks for it.
            let grants = earlier.map(|plugin| plugin.grants.clone()).unwrap_or_default();
            let is_asked = |grant: &Grant| grant.is_asked(&manifest.capabilities);
            let grants = grants.into_iter().filter(is_asked).collect();
            let plugin = self.describe(&compiled, &program, manifest, grants).await;
            let plugin = plugin.map_err(|source| EngineError::of_component(&file, source))?;
            let plugin = Plugin { builtin: true, ..plugin };
            self.store.put_plugin(plugin.clone()).await?;
            self.registry.put(ReadyPlugin::new(plugin, program)?);
        }
        Ok(())
    }

    fn is_builtin(&self, name: &str) -> bool {
        self.registry.builtins.iter().any(|builtin| builtin.manifest.name == name)
    }

    /// Compiles and links on a thread where blocking is fine.
    async fn prepare(
        self: &Arc<Self>,
        bytes: Arc<[u8]>,
        file: &str,
        manifest: &Manifest,
    ) -> Result<(Compiled, Linked), EngineError> {
        let (sandbox, manifest) = (Arc::clone(&self.sandbox), manifest.clone());
        let preparing = tokio::task::spawn_blocking(move || {
            let compiled = sandbox.compile(&bytes, manifest.limits.fuel.is_some())?;
            let program = sandbox.link(&compiled, &manifest)?;
            Ok((compiled, program))
        });
        preparing.await?.map_err(|source| EngineError::of_component(file, source))
    }

    /// Asks a plugin what it is, and makes the row that is stored of it.
    async fn describe(
        &self,
        compiled: &Compiled,
        program: &Linked,
        manifest: Manifest,
        grants: Vec<Grant>,
    ) -> Result<Plugin, SandboxError> {
        Ok(Plugin {
            digest: compiled.digest,
            world: compiled.world,
            descriptor: self.sandbox.describe(program, &manifest).await?,
            manifest,
            grants,
            builtin: false,
            loaded_at: self.now(),
        })
    }

    /// Removes the file of a component, unless another plugin is the same component.
    async fn drop_component(self: &Arc<Self>, digest: Digest) -> Result<(), EngineError> {
        let plugins = self.store.list_plugins().await?;
        if plugins.iter().any(|plugin| plugin.digest == digest) {
            return Ok(());
        }
        let engine = Arc::clone(self);
        tokio::task::spawn_blocking(move || engine.components.remove(&digest)).await?
    }
}
