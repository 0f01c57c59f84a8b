//! The sandbox as its users see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use apflow_model::manifest::Manifest;
use apflow_model::metric::Page;
use apflow_model::plugin::{Descriptor, Digest};

use crate::cache::{AlteredCode, CodeCache};
use crate::call::{Call, Ended};
use crate::child::CompileIn;
use crate::compile::{Compiled, Compiler};
use crate::egress::Outside;
use crate::error::SandboxError;
use crate::gate::Gate;
use crate::link::{Linked, Program};
use crate::metrics::Metrics;
use crate::port::TaskPort;
use crate::secret::SecretSource;
use crate::threads::{GuestTask, GuestThreads};
use crate::{attempt, command, describe, inspect, link};

/// What a sandbox is made with.
pub struct Settings {
    /// How many attempts may hold an instance at once, from 1.
    pub instances_max: u32,
    /// Where components are compiled.
    pub compile_in: CompileIn,
    /// Where compiled code is kept. None: every component is compiled anew.
    pub cache: Option<CodeCache>,
    /// The environment that `env` grants take their values from.
    pub environment: BTreeMap<String, String>,
    /// Where the values of secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// Lets guests through to destinations.
    pub gate: Arc<dyn Gate>,
}

/// Compiles and runs components.
pub struct Sandbox {
    threads: GuestThreads,
    compiler: Compiler,
    environment: Arc<BTreeMap<String, String>>,
    outside: Arc<Outside>,
    secrets: Arc<dyn SecretSource>,
    metrics: Arc<Metrics>,
}

impl Sandbox {
    /// Shows what was counted since the sandbox was made.
    pub fn show_metrics(&self, page: &mut Page) {
        self.metrics().show(page);
    }

    /// Makes a sandbox and starts the threads of its guests, and the one that ticks their epochs.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Engine`] when a thread cannot be started.
    pub fn new(settings: Settings) -> Result<Self, SandboxError> {
        let threads =
            GuestThreads::start().map_err(|error| SandboxError::Engine(error.to_string()))?;
        Ok(Self {
            threads,
            compiler: Compiler::new(settings.instances_max, settings.compile_in, settings.cache)?,
            environment: Arc::new(settings.environment),
            outside: Arc::new(Outside::through(settings.gate)),
            secrets: settings.secrets,
            metrics: Arc::default(),
        })
    }

    /// Compiles a component, or takes its code from the cache.
    ///
    /// With `fuel`, the code counts its instructions. This blocks: call it where blocking is fine.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NotWebAssembly`], [`SandboxError::CoreModule`] and
    /// [`SandboxError::InvalidComponent`] for bytes that are no component,
    /// [`SandboxError::TooLarge`], [`SandboxError::FunctionTooLarge`],
    /// [`SandboxError::CompileLimit`] and [`SandboxError::CompilerCrashed`] for one that takes too
    /// much to compile, [`SandboxError::Compiler`] when nothing can be compiled, and
    /// [`SandboxError::OtherWorld`] and [`SandboxError::OtherVersion`] for one that this host has
    /// no use for.
    pub fn compile(&self, bytes: &[u8], fuel: bool) -> Result<Compiled, SandboxError> {
        self.compiler.compile(bytes, fuel)
    }

    /// Whether the compiled code that is kept of a component is what this host made.
    ///
    /// None when none is kept. Nothing is changed, and nothing of it is run.
    ///
    /// # Errors
    ///
    /// [`AlteredCode`] when it is not.
    pub fn kept_code(&self, digest: &Digest, fuel: bool) -> Option<Result<(), AlteredCode>> {
        self.compiler.kept(digest, fuel)
    }

    /// Compares a component with its manifest and links it.
    ///
    /// # Errors
    ///
    /// [`SandboxError::ExcessImports`] when it imports more than the manifest asks for, and
    /// [`SandboxError::Unlinkable`] when an import does not have the type that this host offers.
    pub fn link(&self, compiled: &Compiled, manifest: &Manifest) -> Result<Linked, SandboxError> {
        inspect::check_imports(&compiled.imports, &manifest.capabilities)?;
        let ticker = Arc::clone(&self.compiler.engines.ticker);
        let environment = Arc::clone(&self.environment);
        link::link(compiled, manifest, environment, ticker, Arc::clone(&self.metrics))
    }

    /// Asks a plugin what it is, in an instance that was granted nothing.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Undescribed`] when `describe` does not return, or returns something else
    /// than the manifest says.
    pub async fn describe(
        &self,
        plugin: &Linked,
        manifest: &Manifest,
    ) -> Result<Descriptor, SandboxError> {
        match &plugin.program {
            Program::Executor(pre) => {
                let (plugin, pre, manifest) = (plugin.clone(), pre.clone(), manifest.clone());
                let outside = Arc::clone(&self.outside);
                let describing =
                    async move { describe::executor(&plugin, &pre, &outside, &manifest).await };
                self.spawn(describing).await.unwrap_or_else(|| {
                    Err(SandboxError::Undescribed("was cut short: the host ends".to_owned()))
                })
            }
            Program::Command(_) => Ok(command::descriptor(manifest)),
        }
    }

    /// Does work on the threads for guests: whoever runs one there keeps it from the host's own.
    pub fn spawn<T: Send + 'static>(
        &self,
        guest: impl Future<Output = T> + Send + 'static,
    ) -> GuestTask<T> {
        self.threads.spawn(guest)
    }

    /// Runs one attempt in a fresh instance, on the thread of the caller: see [`Sandbox::spawn`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the guest and gives back all it held. A guest that computes holds
    /// its thread until it gives way, so `call.stop` comes first: it ends the guest at once.
    pub async fn run(&self, plugin: &Linked, call: Call<'_>, port: Arc<dyn TaskPort>) -> Ended {
        attempt::run(plugin, &self.outside, &self.secrets, call, port).await
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
