//! Installs plugins: check, compile, describe, and only then store.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::breaker::BreakerKey;
use apflow_model::consent::{Consent, GrantLock};
use apflow_model::manifest::Manifest;
use apflow_model::plugin::{
    Definition, DefinitionText, Descriptor, Digest, Installed, Plugin, World,
};
use apflow_model::tool::Run;
use apflow_sandbox::{Compiled, Linked, SandboxError};

use crate::builtin::Builtin;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::grants::{self, Approval, Asking};
use crate::registry::ReadyPlugin;

/// A plugin to be installed.
pub struct LoadPlugin {
    /// The bytes of the component. Those of a tool that is a request are the host's own.
    pub component: Vec<u8>,
    /// What to call the component in messages, for example its path.
    pub component_file: String,
    /// The text of the manifest.
    pub manifest: DefinitionText,
    /// What to call the manifest in messages.
    pub manifest_file: String,
    /// How the operator consents to what it asks for.
    pub approval: Approval,
    /// How the operator named it, to be repeated in a command. None when it came in a form.
    pub typed: Option<String>,
}

/// A plugin that was installed.
#[derive(Debug)]
pub struct Loaded {
    /// What was installed, and what it is granted.
    pub installed: Installed,
    /// Whether its code was in the cache.
    pub is_cached: bool,
    /// How long it took to have its code.
    pub took: Duration,
}

impl Engine {
    /// Installs a plugin, or replaces the one of its name.
    ///
    /// Nothing is stored before all checks have passed. Then come its component, its grants, and its
    /// row: a crash in between leaves the plugin before as it was, with its own grants.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidManifest`], [`EngineError::Component`] and
    /// [`EngineError::InvalidSchema`] for a plugin that is refused,
    /// [`EngineError::BuiltinPlugin`] for the name of one that came with the host,
    /// [`EngineError::GrantNotAsked`], [`EngineError::ConsentNeeded`], [`EngineError::NotLocked`]
    /// and [`EngineError::InvalidLock`] for a consent that does not suffice, and
    /// [`EngineError::Store`] or [`EngineError::DataDir`] when it cannot be kept.
    pub async fn load(self: &Arc<Self>, load: LoadPlugin) -> Result<Loaded, EngineError> {
        let definition = load.manifest.read().map_err(|faults| EngineError::InvalidManifest {
            file: load.manifest_file.clone(),
            faults,
        })?;
        if self.is_builtin(&definition.manifest.name) {
            return Err(EngineError::BuiltinPlugin(definition.manifest.name));
        }
        let (definition, own) = self.completed(definition)?;
        let manifest = &definition.manifest;
        let component: Arc<[u8]> = own.map_or_else(|| load.component.into(), Into::into);
        let digest = apflow_sandbox::digest(&component);
        let bound_to = grants::bound_to(digest, &load.manifest);
        let earlier = self.store.find_plugin(&manifest.name).await?;
        let asking = Asking { manifest, bound_to, typed: load.typed.as_deref() };
        let lock = self.consents.current()?;
        let consent = load.approval.decide(asking, earlier.as_ref(), &lock)?;
        let file = load.component_file;
        let (compiled, program) = self.prepare(Arc::clone(&component), &file, &definition).await?;
        let plugin = self.describe(&compiled, &program, definition).await;
        let plugin = plugin.map_err(|source| EngineError::of_component(&file, source))?;
        let plugin = Plugin { bound_to, ..plugin };
        let ready = ReadyPlugin::new(plugin.clone(), program)?;
        let engine = Arc::clone(self);
        tokio::task::spawn_blocking(move || engine.components.write(&digest, &component)).await??;
        let grants = consent.grants.clone();
        if let Err(error) = self.put(plugin.clone(), consent).await {
            self.drop_component(digest).await?;
            return Err(error);
        }
        self.registry.put(ready);
        // What is known is known of the one before.
        self.reset_breaker(&BreakerKey::Executor(plugin.manifest.name.clone())).await?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.digest != digest) {
            self.drop_component(earlier.digest).await?;
        }
        let installed = Installed::new(plugin, grants);
        Ok(Loaded { installed, is_cached: compiled.is_cached, took: compiled.took })
    }

    /// Grants a plugin that came with the host what the operator consents to.
    ///
    /// None when no such plugin came with the host.
    ///
    /// # Errors
    ///
    /// [`EngineError::GrantNotAsked`], [`EngineError::NotLocked`], [`EngineError::InvalidLock`],
    /// [`EngineError::Store`] and [`EngineError::DataDir`].
    pub async fn grant_builtin(
        self: &Arc<Self>,
        name: &str,
        approval: Approval,
    ) -> Result<Option<Installed>, EngineError> {
        if !self.is_builtin(name) {
            return Ok(None);
        }
        let Some(plugin) = self.store.find_plugin(name).await? else { return Ok(None) };
        let (manifest, bound_to) = (&plugin.manifest, plugin.bound_to);
        let asking = Asking { manifest, bound_to, typed: Some(name) };
        let lock = self.consents.current()?;
        let consent = approval.decide(asking, Some(&plugin), &lock)?;
        let grants = consent.grants.clone();
        let plugin = Plugin { loaded_at: self.now(), ..plugin };
        self.put(plugin.clone(), consent).await?;
        Ok(Some(Installed::new(plugin, grants)))
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
        let gone = name.to_owned();
        self.change_consents(move |lock| lock.keep_only(&gone, None)).await?;
        self.drop_component(removed.digest).await?;
        Ok(removed)
    }

    /// Installs each plugin that comes with the host and is missing. With `replace`, one that came
    /// with another version of the host is replaced as well.
    ///
    /// Only the host that dispatches replaces: another could still be running the other version. A
    /// plugin that the operator loaded under the same name stays. One that asks for more than before
    /// loses its grants until the operator consents.
    ///
    /// # Errors
    ///
    /// [`EngineError::Component`] when one is refused, [`EngineError::InvalidLock`] when one would
    /// have to be granted something in a lock with faults, [`EngineError::Store`] and
    /// [`EngineError::DataDir`].
    pub async fn install_builtins(self: &Arc<Self>, replace: bool) -> Result<(), EngineError> {
        let installed = self.store.list_plugins().await?;
        for builtin in &self.registry.builtins {
            let (definition, _) = self.completed(builtin.definition.clone())?;
            let manifest = &definition.manifest;
            let earlier = installed.iter().find(|plugin| plugin.manifest.name == manifest.name);
            let stays = |plugin: &&Plugin| {
                let is_same = plugin.bound_to == builtin.bound_to && plugin.manifest == *manifest;
                is_same || !replace || !plugin.builtin
            };
            if earlier.is_some_and(|plugin| stays(&plugin)) {
                continue;
            }
            let consent = self.renewed_consent(builtin, manifest, earlier)?;
            if let Some(plugin) = self.builtin_tool(builtin, definition.clone()) {
                self.put(plugin, consent).await?;
                continue;
            }
            let file = format!("the component of `{}`", manifest.name);
            let (compiled, program) =
                self.prepare(builtin.component.into(), &file, &definition).await?;
            let plugin = self.describe(&compiled, &program, definition).await;
            let plugin = plugin.map_err(|source| EngineError::of_component(&file, source))?;
            let plugin = Plugin { builtin: true, ..plugin };
            self.put(plugin.clone(), consent).await?;
            self.registry.put(ReadyPlugin::new(plugin, program)?);
        }
        Ok(())
    }

    /// What the operator once granted stays, unless the new version asks for more.
    fn renewed_consent(
        &self,
        builtin: &Builtin,
        manifest: &Manifest,
        earlier: Option<&Plugin>,
    ) -> Result<Consent, EngineError> {
        let asking = Asking { manifest, bound_to: builtin.bound_to, typed: Some(&manifest.name) };
        match Approval::Unsaid.decide(asking, earlier, &*self.consents.current()?) {
            Err(error @ EngineError::ConsentNeeded { .. }) => {
                tracing::warn!("{error}");
                let nothing = Approval::Said { grants: Vec::new(), all: false };
                nothing.decide(asking, None, &GrantLock::default())
            }
            decided => decided,
        }
    }

    /// Stores a plugin with its grants.
    ///
    /// For a moment the lock knows two components of the name, so that whichever the row names has
    /// its own grants and no task is refused in between.
    async fn put(self: &Arc<Self>, plugin: Plugin, consent: Consent) -> Result<(), EngineError> {
        let (name, bound_to) = (plugin.manifest.name.clone(), plugin.bound_to);
        let before = self.consents.current()?.find(&name, &bound_to).cloned();
        let named = name.clone();
        self.change_consents(move |lock| lock.put(&named, bound_to, Some(consent))).await?;
        if let Err(error) = self.store.put_plugin(plugin).await {
            self.change_consents(move |lock| lock.put(&name, bound_to, before)).await?;
            return Err(error.into());
        }
        self.change_consents(move |lock| lock.keep_only(&name, Some(bound_to))).await
    }

    /// Changes the lock on a thread where blocking is fine.
    async fn change_consents(
        self: &Arc<Self>,
        change: impl FnOnce(&mut GrantLock) + Send + 'static,
    ) -> Result<(), EngineError> {
        let engine = Arc::clone(self);
        tokio::task::spawn_blocking(move || engine.consents.change(change)).await?
    }

    fn is_builtin(&self, name: &str) -> bool {
        self.registry.builtins.iter().any(|builtin| builtin.name() == name)
    }

    /// Compiles and links on a thread where blocking is fine.
    async fn prepare(
        self: &Arc<Self>,
        bytes: Arc<[u8]>,
        file: &str,
        Definition { manifest, tool }: &Definition,
    ) -> Result<(Compiled, Linked), EngineError> {
        let sandbox = Arc::clone(&self.sandbox);
        let manifest = self.linked_by(manifest, tool.as_ref());
        let preparing = tokio::task::spawn_blocking(move || {
            let compiled = sandbox.compile(&bytes, manifest.limits.fuel.is_some())?;
            let program = sandbox.link(&compiled, &manifest)?;
            Ok((compiled, program))
        });
        preparing.await?.map_err(|source| EngineError::of_component(file, source))
    }

    /// Asks a plugin what it is, or reads it where it is a tool, and makes the row that is stored of
    /// it.
    async fn describe(
        &self,
        compiled: &Compiled,
        program: &Linked,
        Definition { manifest, tool }: Definition,
    ) -> Result<Plugin, SandboxError> {
        let descriptor = match &tool {
            Some(tool) => {
                let is_command = matches!(tool.run, Some(Run::Command { .. }));
                if is_command && compiled.world != World::Command {
                    return Err(SandboxError::NoCommand);
                }
                Descriptor::of_tool(tool)
            }
            None => self.sandbox.describe(program, &manifest).await?,
        };
        Ok(Plugin {
            digest: compiled.digest,
            bound_to: compiled.digest,
            world: compiled.world,
            descriptor,
            tool,
            manifest,
            builtin: false,
            loaded_at: self.now(),
            quarantined_at: None,
        })
    }

    /// Removes the file of a component, unless another plugin is the same component. The components
    /// of those that came with the host are in no file.
    async fn drop_component(self: &Arc<Self>, digest: Digest) -> Result<(), EngineError> {
        let plugins = self.store.list_plugins().await?;
        if plugins.iter().any(|plugin| plugin.digest == digest && !plugin.builtin) {
            return Ok(());
        }
        let engine = Arc::clone(self);
        tokio::task::spawn_blocking(move || engine.components.remove(&digest)).await?
    }
}
