//! `bench sandbox`: a task that does nothing, in the sandbox and without it.

use std::time::{Duration, Instant};

use apflow_sandbox::{Floor, Stop};

use super::arguments::Bench;
use super::guest::{self, Guest, INSTANCES_MAX, refused};
use super::process;
use super::report::{Report, Row};
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
/// Every limit that a manifest can set. Fuel is the one that is not counted when it is not set.
const ALL_LIMITS: &str = "limits: { memory: 4MiB, timeout: 5s, fuel: 1000000000, output: 1MiB, \
                          log: 1MiB, http_requests: 1, http_body: 1MiB }\n";

pub(crate) async fn sandbox(bench: Bench, output: &Output) -> Result<Exit, CliError> {
    let sandbox = guest::sandbox()?;
    let bodies = Bodies {
        noop: Guest::noop(&sandbox)?,
        all_limits: Guest::noop_within(&sandbox, ALL_LIMITS)?,
        floor: Floor::new(NOOP.component, INSTANCES_MAX).map_err(refused)?,
    };
    let mut times = Times::default();
    for round in 0..=bench.rounds {
        let measured = measure(&bodies).await?;
        // The first round warms the pools and the caches.
        if round > 0 {
            times.add(measured);
        }
    }
    let rows = [
        Row::new("sandbox_noop", times.sandbox),
        Row::new("sandbox_noop_all_limits", times.all_limits),
        Row::new("wasmtime_floor", times.floor),
        Row::new("posix_spawn_true", times.posix_spawn),
        Row::new("bash_colon", times.bash),
        Row::new("python3_pass", times.python),
    ];
    let report = Report::new("sandbox", rows.into_iter().flatten().collect())
        .ratio("sandbox_noop / wasmtime_floor", "sandbox_noop", "wasmtime_floor")
        .ratio("sandbox_noop_all_limits / sandbox_noop", "sandbox_noop_all_limits", "sandbox_noop")
        .ratio("posix_spawn_true / sandbox_noop", "posix_spawn_true", "sandbox_noop")
        .ratio("bash_colon / sandbox_noop", "bash_colon", "sandbox_noop")
        .ratio("python3_pass / sandbox_noop", "python3_pass", "sandbox_noop");
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

/// What is measured, besides processes.
struct Bodies {
    noop: Guest,
    /// The same with every limit set.
    all_limits: Guest,
    /// The same component with no limit, no epoch and no grant.
    floor: Floor,
}

#[derive(Default)]
struct Times {
    sandbox: Vec<Duration>,
    all_limits: Vec<Duration>,
    floor: Vec<Duration>,
    posix_spawn: Vec<Duration>,
    bash: Vec<Duration>,
    python: Vec<Duration>,
}

impl Times {
    fn add(&mut self, mut other: Self) {
        self.sandbox.append(&mut other.sandbox);
        self.all_limits.append(&mut other.all_limits);
        self.floor.append(&mut other.floor);
        self.posix_spawn.append(&mut other.posix_spawn);
        self.bash.append(&mut other.bash);
        self.python.append(&mut other.python);
    }
}

async fn measure(bodies: &Bodies) -> Result<Times, CliError> {
    let mut times = Times::default();
    let text = "{}".to_owned();
    for _ in 0..CALLS_PER_ROUND {
        times.sandbox.push(time(&bodies.noop).await?);
        times.all_limits.push(time(&bodies.all_limits).await?);
        let started = Instant::now();
        let is_well = bodies.floor.run(&text).await;
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

async fn time(noop: &Guest) -> Result<Duration, CliError> {
    let started = Instant::now();
    let ended = noop.run(Stop::new(), None).await;
    let took = started.elapsed();
    ended.result.map_err(|fault| CliError::Bench(format!("the no-op failed: {fault}")))?;
    Ok(took)
}
