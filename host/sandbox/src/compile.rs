//! From bytes to code: out of the cache, or compiled anew.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use apflow_model::import::Import;
use apflow_model::plugin::{Digest, World};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::cache::{AlteredCode, CodeCache};
use crate::child::{self, CompileIn};
use crate::engine::{Engines, Profile, Runner};
use crate::error::SandboxError;
use crate::{bulk, inspect};

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
    compile_in: CompileIn,
    cache: Option<CodeCache>,
    /// Held while a component is compiled: what one may take, several could take together.
    compiling: Mutex<()>,
}

impl Compiler {
    pub(crate) fn new(
        instances_max: u32,
        compile_in: CompileIn,
        cache: Option<CodeCache>,
    ) -> Result<Self, SandboxError> {
        let engines = Engines::new(instances_max)?;
        Ok(Self { engines, compile_in, cache, compiling: Mutex::default() })
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
            let runner = self.engines.get(Profile { fuel, concurrency })?;
            if let Some(component) = cache.load(digest, &runner.engine) {
                return Ok(Some(component));
            }
        }
        Ok(None)
    }

    /// See [`Sandbox::kept_code`](crate::Sandbox::kept_code).
    pub(crate) fn kept(&self, digest: &Digest, fuel: bool) -> Option<Result<(), AlteredCode>> {
        let cache = self.cache.as_ref()?;
        [false, true].into_iter().find_map(|concurrency| {
            let runner = self.engines.get(Profile { fuel, concurrency }).ok()?;
            cache.look(digest, &runner.engine)
        })
    }

    fn compile_anew(
        &self,
        bytes: &[u8],
        digest: &Digest,
        fuel: bool,
    ) -> Result<Component, SandboxError> {
        bulk::check(bytes)?;
        let _compiling = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let compile = |concurrency| {
            let profile = Profile { fuel, concurrency };
            let runner = self.engines.get(profile)?;
            Ok((self.code(bytes, profile, &runner)?, runner))
        };
        let (code, Runner { engine, .. }) = match compile(false) {
            Err(SandboxError::InvalidComponent(why)) if why.contains(NEEDS_CONCURRENCY_TEXT) => {
                compile(true)?
            }
            compiled => compiled?,
        };
        #[expect(
            unsafe_code,
            reason = "the code was just made by `Engine::precompile_component`, in this process or \
                      in a child that runs this program, and reached nobody else on the way"
        )]
        let component = unsafe { Component::deserialize(&engine, &code) };
        // The code is whole: what is left to go wrong is that it has no room in the pool.
        let component =
            component.map_err(|error| SandboxError::TooDemanding(format!("{error:#}")))?;
        if let Some(cache) = &self.cache {
            cache.store(digest, &engine, &code);
        }
        Ok(component)
    }

    fn code(
        &self,
        bytes: &[u8],
        profile: Profile,
        runner: &Runner,
    ) -> Result<Vec<u8>, SandboxError> {
        match &self.compile_in {
            CompileIn::Process => runner
                .engine
                .precompile_component(bytes)
                .map_err(|error| SandboxError::InvalidComponent(format!("{error:#}"))),
            CompileIn::Child { program, limits } => {
                child::compile(program, *limits, (profile, runner.is_pooled), bytes)
            }
        }
    }
}
