//! The sandbox as its users see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_model::manifest::Manifest;
use apflow_model::plugin::{Descriptor, Digest, World};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::attempt::{self, Call, Ended};
use crate::cache::CodeCache;
use crate::egress::Tls;
use crate::engine::{Engines, Profile};
use crate::error::SandboxError;
use crate::inspect::{self, Import};
use crate::link::{self, Plugin, Program};
use crate::port::TaskPort;
use crate::{command, describe};

/// What wasmparser says of a component that needs the async built-ins. There is no typed error.
const NEEDS_CONCURRENCY_TEXT: &str = "requires the component model async feature";

/// What a sandbox is made with.
pub struct Settings {
    /// How many attempts may hold an instance at once, from 1.
    pub instances_max: u32,
    /// Where compiled code is kept. None: every component is compiled anew.
    pub cache: Option<CodeCache>,
    /// The environment that `env` grants take their values from.
    pub environment: BTreeMap<String, String>,
}

/// Compiles and runs components.
pub struct Sandbox {
    engines: Engines,
    cache: Option<CodeCache>,
    environment: Arc<BTreeMap<String, String>>,
    tls: Arc<Tls>,
}

/// A compiled component, not yet compared with a manifest.
pub struct Compiled {
    pub(crate) component: Component,
    /// The sha256 of the component's bytes.
    pub digest: Digest,
    /// Which kind of program it is.
    pub world: World,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Whether the code came from the cache.
    pub is_cached: bool,
    /// How long it took to have the code, from bytes to a component.
    pub took: Duration,
}

impl Sandbox {
    /// Makes a sandbox and starts the thread that ticks its epochs.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Engine`] when the thread cannot be started.
    pub fn new(settings: Settings) -> Result<Self, SandboxError> {
        Ok(Self {
            engines: Engines::new(settings.instances_max)?,
            cache: settings.cache,
            environment: Arc::new(settings.environment),
            tls: Arc::default(),
        })
    }

    /// Compiles a component, or takes its code from the cache.
    ///
    /// With `fuel`, the code counts its instructions. This blocks: call it where blocking is fine.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NotWebAssembly`], [`SandboxError::CoreModule`] and
    /// [`SandboxError::InvalidComponent`] for bytes that are no component, and
    /// [`SandboxError::OtherWorld`] and [`SandboxError::OtherVersion`] for one that this host has
    /// no use for.
    pub fn compile(&self, bytes: &[u8], fuel: bool) -> Result<Compiled, SandboxError> {
        inspect::check_header(bytes)?;
        let started = Instant::now();
        let digest = Digest(Sha256::digest(bytes).into());
        let (component, is_cached) = match self.cached(&digest, fuel)? {
            Some(component) => (component, true),
            None => (self.compile_anew(bytes, &digest, fuel)?, false),
        };
        let took = started.elapsed();
        let engine = component.engine().clone();
        let world = inspect::world(&engine, &component)?;
        let imports = inspect::imports(&engine, &component);
        Ok(Compiled { component, digest, world, imports, is_cached, took })
    }

    fn cached(&self, digest: &Digest, fuel: bool) -> Result<Option<Component>, SandboxError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        for concurrency in [false, true] {
            let engine = self.engines.get(Profile { fuel, concurrency })?;
            if let Some(component) = cache.load(digest, &engine) {
                return Ok(Some(component));
            }
        }
        Ok(None)
    }

    fn compile_anew(
        &self,
        bytes: &[u8],
        digest: &Digest,
        fuel: bool,
    ) -> Result<Component, SandboxError> {
        let compile = |concurrency| -> Result<wasmtime::Result<(Engine, Component)>, SandboxError> {
            let engine = self.engines.get(Profile { fuel, concurrency })?;
            Ok(Component::new(&engine, bytes).map(|component| (engine, component)))
        };
        let compiled = match compile(false)? {
            Err(error) if format!("{error:#}").contains(NEEDS_CONCURRENCY_TEXT) => compile(true)?,
            compiled => compiled,
        };
        let (engine, component) =
            compiled.map_err(|error| SandboxError::InvalidComponent(format!("{error:#}")))?;
        if let Some(cache) = &self.cache {
            cache.store(digest, &engine, &component);
        }
        Ok(component)
    }

    /// Compares a component with its manifest and links it.
    ///
    /// # Errors
    ///
    /// [`SandboxError::ExcessImports`] when it imports more than the manifest asks for, and
    /// [`SandboxError::Unlinkable`] when an import does not have the type that this host offers.
    pub fn link(&self, compiled: &Compiled, manifest: &Manifest) -> Result<Plugin, SandboxError> {
        inspect::check_imports(&compiled.imports, &manifest.capabilities)?;
        link::link(compiled, manifest, Arc::clone(&self.environment))
    }

    /// Asks a plugin what it is, in an instance that was granted nothing.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Undescribed`] when `describe` does not return, or returns something else
    /// than the manifest says.
    pub async fn describe(
        &self,
        plugin: &Plugin,
        manifest: &Manifest,
    ) -> Result<Descriptor, SandboxError> {
        match &plugin.program {
            Program::Executor(pre) => describe::executor(plugin, pre, &self.tls, manifest).await,
            Program::Command(_) => Ok(command::descriptor(manifest)),
        }
    }

    /// Runs one attempt in a fresh instance.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the guest and gives back all it held, at most one tick (5 ms)
    /// after it last gave way.
    pub async fn run(&self, plugin: &Plugin, call: Call<'_>, port: Arc<dyn TaskPort>) -> Ended {
        attempt::run(plugin, &self.tls, call, port).await
    }
}
