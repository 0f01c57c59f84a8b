//! `bench engine`: durable tasks that do nothing, from their submission to their end, beside the
//! least that their rows can cost.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use apflow_api::{Api, ApiError, ListJobs, LoadPlugin, Page, SaidConsent, SubmitJob, WatchJob};
use apflow_model::hops::Hops;
use apflow_model::job::Job;
use apflow_model::state::JobState;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::arguments::BenchEngine;
use super::report::{self, Report, Row};
use super::samples::{CLIENTS_MAX, Samples, one};
use super::store;
use crate::assemble::Host;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::operator::operator;
use crate::cli::output::Output;
use crate::config::Config;
use crate::first_party::NOOP;

/// How many clients submit at once, and how many tasks each of these crowds submits in a round.
const CROWDS: [(u32, u32); 3] = [(1, 200), (16, 2_000), (CLIENTS_MAX, 4_000)];
/// How often one client submits a task and waits for its end in a round.
const ROUND_TRIPS: u32 = 100;
/// How many tasks the jobs of many tasks have.
const JOB_TASKS: u32 = 1_000;
const CHAIN_TASKS: u32 = 1_200;
/// How many watchers look on.
const WATCHERS: u32 = 1_000;
/// How many parts the tasks are run in while the memory is watched.
const MEMORY_PARTS: u32 = 10;
/// The longest that anything here may take.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// How often to look whether all tasks have ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub(crate) async fn engine(
    config: &Config,
    bench: &BenchEngine,
    output: &Output,
) -> Result<Exit, CliError> {
    let place = Place::make(config)?;
    let measured = measure(&place.config, bench).await;
    place.remove();
    let report = report(measured?.rows());
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

/// A data directory of the benchmark's own, below the true one: on the disk that the host uses.
pub(super) struct Place {
    pub(super) config: Config,
    parent: PathBuf,
    name: String,
}

impl Place {
    pub(super) fn make(config: &Config) -> Result<Self, CliError> {
        let parent = config.data_dir.clone();
        let name = format!("bench-{}", std::process::id());
        let mut config = config.clone();
        config.data_dir = parent.join(&name);
        let made = Dir::create_ambient_dir_all(&config.data_dir, ambient_authority());
        made.map_err(|source| CliError::Io {
            what: config.data_dir.display().to_string(),
            source,
        })?;
        Ok(Self { config, parent, name })
    }

    pub(super) fn remove(&self) {
        let remove = || -> io::Result<()> {
            Dir::open_ambient_dir(&self.parent, ambient_authority())?.remove_dir_all(&self.name)
        };
        let mut removed = remove();
        // A connection that is still being closed takes its files away itself.
        if removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            removed = remove();
        }
        if let Err(error) = removed {
            tracing::warn!(%error, folder = %self.config.data_dir.display(), "it is left behind");
        }
    }
}

fn report(rows: Vec<Row>) -> Report {
    let report = Report::new("engine", rows);
    let mut rates = vec!["floor_128".to_owned(), "store_128".to_owned()];
    rates.extend(CROWDS.iter().map(|(clients, _)| format!("task_{clients}")));
    rates
        .iter()
        .fold(report, |report, row| report.a_second(row))
        .ratio("floor_128 / store_128", "floor_128", "store_128")
        .ratio("floor_128 / task_128", "floor_128", "task_128")
        .ratio("claim_ended / claim_none", "claim_ended", "claim_none")
        .ratio("job_1000_watched / job_1000", "job_1000_watched", "job_1000")
        .ratio("memory_last / memory_first", "memory_last", "memory_first")
}

async fn measure(config: &Config, bench: &BenchEngine) -> Result<Samples, CliError> {
    let mut samples = Samples::default();
    store::check_is_empty(config).await?;
    store::claims(config, "claim_none", &mut samples).await?;
    install(config).await?;
    for round in 0..=bench.rounds {
        let mut measured = Samples::default();
        store::beside_floor(config, &mut measured).await?;
        started(config, async |api| run_round(api, &mut measured).await).await?;
        // The first round warms the pools and the caches.
        if round > 0 {
            samples.append(measured);
        }
    }
    let tasks = bench.tasks / MEMORY_PARTS;
    started(config, async |api| {
        for _ in 0..MEMORY_PARTS {
            crowd(api, CLIENTS_MAX, tasks, &mut Samples::default()).await?;
            samples.memory.extend(report::memory());
        }
        Ok(())
    })
    .await?;
    store::fill(config, bench.ended).await?;
    store::claims(config, "claim_ended", &mut samples).await?;
    Ok(samples)
}

/// Installs the plugin that does nothing.
pub(super) async fn install(config: &Config) -> Result<(), CliError> {
    Host::with(config, async |host| {
        let load = LoadPlugin {
            component: NOOP.component.to_vec(),
            component_file: "noop_executor.wasm".to_owned(),
            manifest: Some(NOOP.definition()),
            manifest_file: "plugin.yaml".to_owned(),
            consent: SaidConsent::default(),
            typed: Some("noop_executor".to_owned()),
        };
        host.api.invoke(load, &operator()).await?;
        Ok(())
    })
    .await
}

/// Does something with a host that runs tasks.
pub(super) async fn started(
    config: &Config,
    work: impl AsyncFnOnce(&Api) -> Result<(), CliError>,
) -> Result<(), CliError> {
    Host::with(config, async |host| {
        host.start().await?;
        work(&host.api).await
    })
    .await
}

async fn run_round(api: &Api, samples: &mut Samples) -> Result<(), CliError> {
    for (clients, tasks) in CROWDS {
        crowd(api, clients, tasks, samples).await?;
    }
    for _ in 0..ROUND_TRIPS {
        samples.add("round_trip", run(api, one()).await?);
    }
    samples.add("job_1000", run(api, forest(JOB_TASKS, false)).await?);
    samples.add("job_1000_watched", watched(api).await?);
    samples.add("chain_1200", run(api, forest(CHAIN_TASKS, true)).await?);
    Ok(())
}

/// Lets clients submit as many tasks as they can, one after the other each, until there were
/// `tasks`, and waits until all have ended.
async fn crowd(api: &Api, clients: u32, tasks: u32, samples: &mut Samples) -> Result<(), CliError> {
    let each = (tasks / clients).max(1);
    let started = Instant::now();
    let mut submitting = JoinSet::new();
    for _ in 0..clients {
        let api = api.clone();
        submitting.spawn(async move {
            let mut acks = Vec::new();
            for _ in 0..each {
                let started = Instant::now();
                submit(&api, one(), None).await?;
                acks.push(started.elapsed());
            }
            Ok::<_, CliError>(acks)
        });
    }
    while let Some(acks) = submitting.join_next().await {
        for ack in acks.map_err(|error| CliError::Bench(error.to_string()))?? {
            samples.add(format!("submit_ack_{clients}"), ack);
        }
    }
    all_ended(api).await?;
    samples.add(format!("task_{clients}"), started.elapsed() / (each * clients));
    Ok(())
}

async fn all_ended(api: &Api) -> Result<(), CliError> {
    let started = Instant::now();
    while started.elapsed() < WAIT_MAX {
        let mut open = 0;
        for state in [JobState::Pending, JobState::Running] {
            let page = Page { limit: Some(1), cursor: None };
            let list = ListJobs { state: Some(state), page, ..ListJobs::default() };
            open += api.invoke(list, &operator()).await?.jobs.len();
        }
        if open == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(CliError::Bench(format!("some tasks have not ended after {} s", WAIT_MAX.as_secs())))
}

/// Runs a job while many watch it, each on its own, and sees that each is told all of it.
async fn watched(api: &Api) -> Result<Duration, CliError> {
    let started = Instant::now();
    let id = submit(api, forest(JOB_TASKS, false), None).await?.id;
    let mut watching = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut watched = api.invoke(WatchJob { id, after: 0 }, &operator()).await?.events;
        watching.spawn(async move {
            while watched.next().await?.is_some() {}
            Ok::<_, ApiError>(watched.after())
        });
    }
    let mut told = Vec::new();
    while let Some(seen) = watching.join_next().await {
        told.push(seen.map_err(|error| CliError::Bench(error.to_string()))??);
    }
    let took = started.elapsed();
    if told.iter().any(|seen| *seen != told[0]) {
        return Err(CliError::Bench("some watchers were not told all".to_owned()));
    }
    Ok(took)
}

/// Runs a job, and says how long it took until its end was told.
async fn run(api: &Api, job: Value) -> Result<Duration, CliError> {
    let started = Instant::now();
    let job = submit(api, job, Some(WAIT_MAX)).await?;
    let took = started.elapsed();
    if job.state != JobState::Completed {
        return Err(CliError::Bench(format!("the job {} is {}", job.id, job.state.name())));
    }
    Ok(took)
}

async fn submit(api: &Api, job: Value, wait: Option<Duration>) -> Result<Job, CliError> {
    let submit =
        SubmitJob { job, grants: Vec::new(), wait, idempotency_key: None, hops: Hops::default() };
    Ok(api.invoke(submit, &operator()).await?.job)
}

/// Tasks of one job: side by side, or each after the one before.
fn forest(tasks: u32, is_chain: bool) -> Value {
    let task = |n: u32| {
        let before = (is_chain && n > 0).then(|| (n - 1).to_string());
        json!({ "id": n.to_string(), "executor": "noop_executor", "inputs": {},
                "dependencies": before.as_slice() })
    };
    json!({ "tasks": (0..tasks).map(task).collect::<Vec<_>>() })
}
