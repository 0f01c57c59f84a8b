//! The least that wasmtime can take for one call: the baseline of `apflow-host bench sandbox`.
//!
//! The same pool and the same component as in the sandbox, but no limits, no epochs, no WASI and no
//! state. It is for measuring only.

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::bindings::ExecutorPre;
use crate::bindings::apflow::plugin::types;
use crate::engine::{self, Profile};
use crate::error::SandboxError;

/// An executor that runs without a sandbox around it.
pub struct Floor {
    engine: Engine,
    pre: ExecutorPre<()>,
    task: types::Task,
}

impl Floor {
    /// Compiles and links a component whose every import traps.
    ///
    /// # Errors
    ///
    /// [`SandboxError::InvalidComponent`] when it is no executor.
    pub fn new(bytes: &[u8], instances_max: u32) -> Result<Self, SandboxError> {
        let profile = Profile { fuel: false, concurrency: false };
        let engine = engine::make(profile, false, instances_max)?.engine;
        let pre = Component::new(&engine, bytes).and_then(|component| {
            let mut linker = Linker::new(&engine);
            linker.define_unknown_imports_as_traps(&component)?;
            ExecutorPre::new(linker.instantiate_pre(&component)?)
        });
        let pre = pre.map_err(|error| SandboxError::InvalidComponent(format!("{error:#}")))?;
        let task = types::Task {
            id: "t_0000000000000".to_owned(),
            job_id: "j_0000000000000".to_owned(),
            attempt: 1,
            idempotency_key: "t_0000000000000".to_owned(),
            model: None,
        };
        Ok(Self { engine, pre, task })
    }

    /// Instantiates, calls and tears down once. False when the guest trapped or faulted.
    pub async fn run(&self, input: &String) -> bool {
        let mut store = Store::new(&self.engine, ());
        let Ok(executor) = self.pre.instantiate_async(&mut store).await else { return false };
        let called = executor.apflow_plugin_run().call_execute(&mut store, &self.task, input).await;
        matches!(called, Ok(Ok(_)))
    }
}
