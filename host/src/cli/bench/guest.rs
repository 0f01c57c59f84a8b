//! The guests that benchmarks run: the no-op, and some that a sandbox must stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::hops::Hops;
use apflow_model::manifest::Manifest;
use apflow_sandbox::{
    Call, CompileIn, Ended, GuestTask, Linked, Mounts, NoGate, NoSecrets, NoTask, Sandbox,
    SandboxError, Settings, Stop,
};
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::first_party::NOOP;
use crate::hostile;

/// How many instances there is room for.
pub(super) const INSTANCES_MAX: u32 = 16;

/// Guests that must be stopped. The first works on nothing, without an end.
pub(super) const HOSTILE: [hostile::Guest; 4] = [
    hostile::Guest::NeverEnds,
    hostile::Guest::EatsMemory,
    hostile::Guest::FloodsTheLog,
    hostile::Guest::FloodsStdout,
];

/// A sandbox for benchmarks. What it compiles came with the host.
pub(super) fn sandbox() -> Result<Arc<Sandbox>, CliError> {
    let sandbox = Sandbox::new(Settings {
        instances_max: INSTANCES_MAX,
        compile_in: CompileIn::Process,
        cache: None,
        environment: BTreeMap::new(),
        secrets: Arc::new(NoSecrets),
        gate: Arc::new(NoGate),
    });
    sandbox.map(Arc::new).map_err(refused)
}

/// A guest that is ready to run.
#[derive(Clone)]
pub(super) struct Guest {
    sandbox: Arc<Sandbox>,
    program: Linked,
    input: Value,
}

impl Guest {
    pub(super) fn noop(sandbox: &Arc<Sandbox>) -> Result<Self, CliError> {
        Self::new(sandbox, NOOP.component, NOOP.manifest)
    }

    /// The no-op with these limits instead of its own.
    pub(super) fn noop_within(sandbox: &Arc<Sandbox>, limits: &str) -> Result<Self, CliError> {
        let lines = NOOP.manifest.lines().filter(|line| !line.starts_with("limits:"));
        let manifest = lines.fold(String::new(), |text, line| text + line + "\n") + limits;
        Self::new(sandbox, NOOP.component, &manifest)
    }

    pub(super) fn hostile(
        sandbox: &Arc<Sandbox>,
        hostile: hostile::Guest,
    ) -> Result<Self, CliError> {
        let manifest = format!(
            "name: {0}\nversion: 1.0.0\ndescription: A guest.\ncomponent: {0}.wasm\n",
            hostile.name()
        );
        Self::new(sandbox, hostile.component(), &manifest)
    }

    fn new(sandbox: &Arc<Sandbox>, component: &[u8], manifest: &str) -> Result<Self, CliError> {
        let manifest = Manifest::parse(manifest)
            .map_err(|_| CliError::Bench("the manifest of a guest is not valid".to_owned()))?;
        let compiled = sandbox.compile(component, manifest.limits.fuel.is_some());
        let program = sandbox.link(&compiled.map_err(refused)?, &manifest).map_err(refused)?;
        Ok(Self { sandbox: Arc::clone(sandbox), program, input: json!({}) })
    }

    /// Runs it once, on the thread of the caller.
    pub(super) async fn run(&self, stop: Stop, timeout: Option<Duration>) -> Ended {
        let call = Call {
            task_id: "t_0000000000000",
            job_id: "j_0000000000000",
            attempt: 1,
            model: None,
            input: &self.input,
            timeout,
            granted: Arc::default(),
            narrowed: None,
            mounts: Mounts::default(),
            hops: Hops::default(),
            trace: None,
            stop,
        };
        self.sandbox.run(&self.program, call, Arc::new(NoTask)).await
    }

    /// Runs it once on a thread for guests. None when these end before it.
    pub(super) async fn run_apart(&self, stop: Stop, timeout: Option<Duration>) -> Option<Ended> {
        let guest = self.clone();
        self.spawn(async move { guest.run(stop, timeout).await }).await
    }

    /// Does work on the threads for guests.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> GuestTask<T> {
        self.sandbox.spawn(work)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
pub(super) fn refused(error: SandboxError) -> CliError {
    CliError::Bench(error.to_string())
}
