//! From bytes to code: out of the cache, or compiled anew.

use std::time::{Duration, Instant};

use apflow_model::plugin::{Digest, World};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::CodeCache;
use crate::engine::{Engines, Profile};
use crate::error::SandboxError;
use crate::import::Import;
use crate::inspect;

/// What wasmparser says of a component that needs the async built-ins. There is no typed error.
const NEEDS_CONCURRENCY_TEXT: &str = "requires the component model async feature";

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

/// The sha256 of a component: what a plugin is, whatever it is called.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Compiles components for the engine that suits them.
pub(crate) struct Compiler {
    pub(crate) engines: Engines,
    cache: Option<CodeCache>,
}

impl Compiler {
    pub(crate) fn new(instances_max: u32, cache: Option<CodeCache>) -> Result<Self, SandboxError> {
        Ok(Self { engines: Engines::new(instances_max)?, cache })
    }

    pub(crate) fn compile(&self, bytes: &[u8], fuel: bool) -> Result<Compiled, SandboxError> {
        inspect::check_header(bytes)?;
        let started = Instant::now();
        let digest = digest(bytes);
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
}
