//! `bench sandbox`: a task that does nothing, in the sandbox and without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_model::manifest::Manifest;
use apflow_sandbox::{
    Call, Floor, Linked, NoSecrets, NoTask, Sandbox, SandboxError, Settings, TaskPort,
};
use serde_json::Value;

use super::process;
use super::report::{Report, Row};
use crate::cli::arguments::Bench;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::first_party::NOOP;

/// How often the fast rows are measured in one round.
const CALLS_PER_ROUND: u32 = 250;
/// How often processes are started in one round.
const PROCESSES_PER_ROUND: u32 = 15;
/// How often Python is started in one round: it takes a thousand times as long.
const PYTHONS_PER_ROUND: u32 = 2;
const INSTANCES_MAX: u32 = 16;

pub(crate) async fn sandbox(bench: Bench, output: &Output) -> Result<Exit, CliError> {
    let refused = |error: SandboxError| CliError::Bench(error.to_string());
    let manifest = Manifest::parse(NOOP.manifest)
        .map_err(|_| CliError::Bench("the manifest of the no-op plugin".to_owned()))?;
    let sandbox = Sandbox::new(Settings {
        instances_max: INSTANCES_MAX,
        cache: None,
        environment: BTreeMap::new(),
        secrets: Arc::new(NoSecrets),
    })
    .map_err(refused)?;
    let compiled = sandbox.compile(NOOP.component, false).map_err(refused)?;
    let plugin = sandbox.link(&compiled, &manifest).map_err(refused)?;
    let floor = Floor::new(NOOP.component, INSTANCES_MAX).map_err(refused)?;
    let mut times = Times::default();
    for round in 0..=bench.rounds {
        let measured = measure(&sandbox, &plugin, &floor).await?;
        // The first round warms the pools and the caches.
        if round > 0 {
            times.add(measured);
        }
    }
    let rows = [
        Row::new("sandbox_noop", times.sandbox),
        Row::new("wasmtime_floor", times.floor),
        Row::new("posix_spawn_true", times.posix_spawn),
        Row::new("bash_colon", times.bash),
        Row::new("python3_pass", times.python),
    ];
    let report = Report::new("sandbox", rows.into_iter().flatten().collect())
        .ratio("sandbox_noop / wasmtime_floor", "sandbox_noop", "wasmtime_floor")
        .ratio("posix_spawn_true / sandbox_noop", "posix_spawn_true", "sandbox_noop")
        .ratio("bash_colon / sandbox_noop", "bash_colon", "sandbox_noop")
        .ratio("python3_pass / sandbox_noop", "python3_pass", "sandbox_noop");
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

#[derive(Default)]
struct Times {
    sandbox: Vec<Duration>,
    floor: Vec<Duration>,
    posix_spawn: Vec<Duration>,
    bash: Vec<Duration>,
    python: Vec<Duration>,
}

impl Times {
    fn add(&mut self, mut other: Self) {
        self.sandbox.append(&mut other.sandbox);
        self.floor.append(&mut other.floor);
        self.posix_spawn.append(&mut other.posix_spawn);
        self.bash.append(&mut other.bash);
        self.python.append(&mut other.python);
    }
}

async fn measure(sandbox: &Sandbox, plugin: &Linked, floor: &Floor) -> Result<Times, CliError> {
    let mut times = Times::default();
    let port: Arc<dyn TaskPort> = Arc::new(NoTask);
    let granted: Arc<[_]> = Arc::default();
    let (value, text) = (Value::Null, "null".to_owned());
    for _ in 0..CALLS_PER_ROUND {
        let call = Call {
            task_id: "t_0000000000000",
            job_id: "j_0000000000000",
            attempt: 1,
            model: None,
            input: &value,
            timeout: None,
            granted: Arc::clone(&granted),
            narrowed: None,
        };
        let started = Instant::now();
        let ended = sandbox.run(plugin, call, Arc::clone(&port)).await;
        times.sandbox.push(started.elapsed());
        if let Err(fault) = ended.result {
            return Err(CliError::Bench(format!("the no-op failed: {fault}")));
        }
        let started = Instant::now();
        let is_well = floor.run(&text).await;
        times.floor.push(started.elapsed());
        if !is_well {
            return Err(CliError::Bench("the no-op failed without a sandbox".to_owned()));
        }
    }
    for _ in 0..PROCESSES_PER_ROUND {
        times.posix_spawn.extend(process::time("/bin/true", &[]));
        times.bash.extend(process::time("bash", &["-c", ":"]));
    }
    for _ in 0..PYTHONS_PER_ROUND {
        times.python.extend(process::time("python3", &["-c", "pass"]));
    }
    Ok(times)
}
