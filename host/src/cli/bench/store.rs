//! The store alone, without a sandbox: its tasks beside the least that their rows can cost, and its
//! claims beside tasks that have ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_api::chain;
use apflow_engine::SystemClock;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::fair::Limits;
use apflow_model::job::JobSpec;
use apflow_model::usage::Usage;
use apflow_store::{
    Claimed, End, Floor, JobFilter, NewJob, SessionId, Settlement, Store, StoreError,
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::samples::{CLIENTS_MAX, Samples, one};
use crate::assemble::address;
use crate::cli::error::CliError;
use crate::config::Config;

/// How many tasks each client of the store submits in a round.
const TASKS_PER_CLIENT: u32 = 40;
/// How many tasks are in one claim, and in one commit of the floor.
const TASKS_PER_COMMIT: u32 = CLIENTS_MAX;
/// How many commits of the floor there are in a round.
const FLOOR_COMMITS: u32 = 20;
/// Longer than any row takes: nothing is heard of the session meanwhile.
const LEASE: Duration = Duration::from_hours(1);
/// How many claims are measured.
const CLAIMS: u32 = 100;
const TASKS_PER_CLAIM: u32 = 64;
/// How many ended tasks are written in one commit.
const FILLED_PER_COMMIT: u32 = 5_000;

/// Measures the store under many clients, and right after it the floor.
pub(super) async fn beside_floor(config: &Config, samples: &mut Samples) -> Result<(), CliError> {
    let bench = Bench::open(config).await?;
    let started = Instant::now();
    bench.run_all().await?;
    samples.add("store_128", started.elapsed() / (CLIENTS_MAX * TASKS_PER_CLIENT));
    let mut floor = bench.floor().await?;
    for _ in 0..FLOOR_COMMITS {
        let started = Instant::now();
        floor.write(TASKS_PER_COMMIT, now()).await.map_err(refused)?;
        samples.add("floor_128", started.elapsed() / TASKS_PER_COMMIT);
    }
    floor.close().await;
    bench.store.close().await;
    Ok(())
}

/// Measures commits of one task, one after the other, that wait for the disk.
pub(super) async fn commits(config: &Config, samples: &mut Samples) -> Result<(), CliError> {
    let bench = Bench::open(config).await?;
    let mut floor = bench.floor().await?;
    for _ in 0..FLOOR_COMMITS {
        let started = Instant::now();
        floor.write(1, now()).await.map_err(refused)?;
        samples.add("commit", started.elapsed());
    }
    floor.close().await;
    bench.store.close().await;
    Ok(())
}

/// Measures claims beside whatever there is.
pub(super) async fn claims(
    config: &Config,
    row: &'static str,
    samples: &mut Samples,
) -> Result<(), CliError> {
    let bench = Bench::open(config).await?;
    for _ in 0..CLAIMS {
        let mut submitting = JoinSet::new();
        for _ in 0..TASKS_PER_CLAIM {
            submitting.spawn(Arc::clone(&bench).submit());
        }
        all(submitting).await?;
        let started = Instant::now();
        let limits = Limits::default();
        let claimed = bench.store.claim(bench.session, now(), TASKS_PER_CLAIM, limits).await;
        samples.add(row, started.elapsed());
        let mut settling = JoinSet::new();
        for task in claimed.map_err(refused)?.tasks {
            settling.spawn(Arc::clone(&bench).settle(task));
        }
        all(settling).await?;
    }
    bench.store.close().await;
    Ok(())
}

/// Adds tasks that have ended.
pub(super) async fn fill(config: &Config, ended: u32) -> Result<(), CliError> {
    let bench = Bench::open(config).await?;
    let mut floor = bench.floor().await?;
    let mut left = ended;
    while left > 0 {
        let count = left.min(FILLED_PER_COMMIT);
        floor.write(count, now()).await.map_err(refused)?;
        left -= count;
    }
    floor.tidy().await.map_err(refused)?;
    floor.close().await;
    bench.store.close().await;
    Ok(())
}

/// Refuses a database that somebody uses: it is about to be filled.
pub(super) async fn check_is_empty(config: &Config) -> Result<(), CliError> {
    let bench = Bench::open(config).await?;
    let page = bench.store.list_jobs(&JobFilter::default(), None, 1).await;
    bench.store.close().await;
    if page.map_err(refused)?.jobs.is_empty() {
        return Ok(());
    }
    let message = "the database has jobs in it, and would be filled with more: \
                   give `DATABASE_URL` an empty one";
    Err(CliError::Bench(message.to_owned()))
}

/// A store that nobody else uses.
struct Bench {
    config: Config,
    store: Store,
    session: SessionId,
    spec: JobSpec,
}

impl Bench {
    async fn open(config: &Config) -> Result<Arc<Self>, CliError> {
        let store = Store::open(&address(config).map_err(refused)?).await.map_err(refused)?;
        let session =
            store.open_session("bench".to_owned(), now(), LEASE).await.map_err(refused)?;
        let spec = JobSpec::parse(one());
        let spec = spec.map_err(|fault| CliError::Bench(fault.to_string()))?;
        Ok(Arc::new(Self { config: config.clone(), store, session, spec }))
    }

    async fn floor(&self) -> Result<Floor, CliError> {
        let address = address(&self.config).map_err(refused)?;
        Floor::open(&address, self.session).await.map_err(refused)
    }

    /// Submits, claims and settles at once, as fast as each can.
    async fn run_all(self: &Arc<Self>) -> Result<(), CliError> {
        let mut submitting = JoinSet::new();
        for _ in 0..CLIENTS_MAX {
            let bench = Arc::clone(self);
            submitting.spawn(async move {
                for _ in 0..TASKS_PER_CLIENT {
                    Arc::clone(&bench).submit().await?;
                }
                Ok(())
            });
        }
        let mut left = (CLIENTS_MAX * TASKS_PER_CLIENT) as usize;
        let mut settling = JoinSet::new();
        while left > 0 {
            let limits = Limits::default();
            let claimed = self.store.claim(self.session, now(), TASKS_PER_COMMIT, limits).await;
            let claimed = claimed.map_err(refused)?.tasks;
            left = left.saturating_sub(claimed.len());
            for task in claimed {
                settling.spawn(Arc::clone(self).settle(task));
            }
        }
        all(submitting).await?;
        all(settling).await
    }

    async fn submit(self: Arc<Self>) -> Result<(), StoreError> {
        let job = NewJob {
            spec: self.spec.clone(),
            principal: "operator".to_owned(),
            grants: Vec::new(),
        };
        self.store.submit(job, now()).await.map(drop)
    }

    async fn settle(self: Arc<Self>, claimed: Claimed) -> Result<(), StoreError> {
        let settlement = Settlement {
            task: claimed.task,
            attempt: claimed.attempt,
            now: now(),
            end: End::Completed { output: Value::Null, files: Vec::new() },
            usage: Usage::default(),
            events: Vec::new(),
        };
        self.store.settle(settlement).await.map(drop)
    }
}

async fn all(mut writes: JoinSet<Result<(), StoreError>>) -> Result<(), CliError> {
    while let Some(written) = writes.join_next().await {
        written.map_err(|error| CliError::Bench(error.to_string()))?.map_err(refused)?;
    }
    Ok(())
}

fn now() -> Timestamp {
    SystemClock.now()
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
fn refused(error: StoreError) -> CliError {
    CliError::Bench(chain(&error))
}
