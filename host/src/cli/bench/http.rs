//! `bench http`: what a durable task costs over HTTP, beside the least that a request can that
//! commits to the disk; a crowd of clients that submit and watch; and looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_api::{Remote, RunTask, SubmitJob};
use axum::http::Method;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::arguments::BenchHttp;
use super::engine::{Place, install, started};
use super::http_looks;
use super::http_server::{self, Server};
use super::report::Report;
use super::samples::{Samples, one};
use super::store;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::Config;

/// How often each of the two is measured in a round.
const PER_ROUND: u32 = 50;
/// How long a client waits that is told to come again, unless it is told how long.
const AGAIN_USUAL: Duration = Duration::from_secs(1);

pub(crate) async fn http(
    config: &Config,
    bench: BenchHttp,
    output: &Output,
) -> Result<Exit, CliError> {
    let place = Place::make(config)?;
    let measured = measure(&place.config, &bench).await;
    place.remove();
    let (samples, refused) = measured?;
    let report = Report::new("http", samples.rows())
        .ratio("run / bare_commit", "run", "bare_commit")
        .ratio("read / read_unaudited", "read", "read_unaudited")
        .ratio("scrape_ended / scrape", "scrape_ended", "scrape")
        .a_second("crowd_task")
        .count("refused as busy (429)", refused)
        .count("other errors", 0)
        .with_memory();
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

async fn measure(config: &Config, bench: &BenchHttp) -> Result<(Samples, u64), CliError> {
    store::check_is_empty(config).await?;
    install(config).await?;
    let (mut samples, mut refused) = (Samples::default(), 0);
    let bare = http_server::bare(&config.data_dir).await?;
    started(config, async |api| {
        let door = http_server::door(api.clone()).await?;
        for round in 0..=bench.rounds {
            let mut measured = Samples::default();
            beside_bare(&door, &bare, &mut measured).await?;
            // The first round warms the pools and the caches.
            if round > 0 {
                samples.append(measured);
            }
        }
        let clients = usize::try_from(bench.clients).unwrap_or(usize::MAX);
        crowd(&door, clients, 1, &mut Samples::default()).await?;
        refused = crowd(&door, clients, bench.tasks, &mut samples).await?;
        Ok(())
    })
    .await?;
    http_looks::measure(config, bench.ended, &mut samples).await?;
    Ok((samples, refused))
}

/// Runs a task over HTTP and has the other server commit, in turn, each over a kept connection.
async fn beside_bare(door: &Server, bare: &Server, samples: &mut Samples) -> Result<(), CliError> {
    let (mut to_door, mut to_bare) = (door.client().await?, bare.client().await?);
    let body = one().to_string();
    for _ in 0..PER_ROUND {
        let started = Instant::now();
        let ran = to_door.ask(Method::POST, RunTask::PATH, &body).await?;
        samples.add("run", started.elapsed());
        if ran.status != 200 || ran.json()?["state"] != "completed" {
            return Err(CliError::Bench(format!("a run was answered with {}", ran.words())));
        }
        let started = Instant::now();
        let kept = to_bare.ask(Method::POST, "/", &body).await?;
        samples.add("bare_commit", started.elapsed());
        if kept.status != 200 {
            return Err(CliError::Bench(format!("the bare handler answered {}", kept.words())));
        }
    }
    Ok(())
}

/// Lets many clients at once submit a task and watch it to its end, again and again, each over a
/// connection of its own. Answers how often one was told that the host is busy.
async fn crowd(
    door: &Server,
    clients: usize,
    tasks: u32,
    samples: &mut Samples,
) -> Result<u64, CliError> {
    let barrier = Arc::new(Barrier::new(clients + 1));
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let mut client = door.client().await?;
        let barrier = Arc::clone(&barrier);
        working.spawn(async move {
            barrier.wait().await;
            let mut seen = Seen::default();
            for _ in 0..tasks {
                submit_and_watch(&mut client, &mut seen).await?;
            }
            Ok::<_, CliError>(seen)
        });
    }
    barrier.wait().await;
    let started = Instant::now();
    let mut refused = 0;
    while let Some(seen) = working.join_next().await {
        let seen = seen.map_err(|error| CliError::Bench(error.to_string()))??;
        refused += seen.refused;
        // They all send their first in the same moment, and none after it.
        seen.acks.iter().take(1).for_each(|ack| samples.add("crowd_first_ack", *ack));
        seen.acks.into_iter().for_each(|ack| samples.add("crowd_submit_ack", ack));
        seen.ends.into_iter().for_each(|end| samples.add("crowd_watched_to_end", end));
    }
    let count = u32::try_from(clients).unwrap_or(u32::MAX).saturating_mul(tasks);
    samples.add("crowd_task", started.elapsed() / count.max(1));
    Ok(refused)
}

/// What one client of a crowd saw.
#[derive(Default)]
struct Seen {
    acks: Vec<Duration>,
    /// From the submission of a task until its end was told.
    ends: Vec<Duration>,
    refused: u64,
}

async fn submit_and_watch(
    client: &mut http_server::Client,
    seen: &mut Seen,
) -> Result<(), CliError> {
    let body = one().to_string();
    let (started, job) = loop {
        let started = Instant::now();
        let answer = client.ask(Method::POST, SubmitJob::PATH, &body).await?;
        match answer.status {
            202 => {
                seen.acks.push(started.elapsed());
                break (started, answer.json()?);
            }
            429 => {
                seen.refused += 1;
                let seconds = answer.json()?["retry_after"].as_u64();
                tokio::time::sleep(seconds.map_or(AGAIN_USUAL, Duration::from_secs)).await;
            }
            _ => {
                let words = answer.words();
                return Err(CliError::Bench(format!("a submission was answered with {words}")));
            }
        }
    };
    let id = job["id"].as_str().unwrap_or_default();
    let history = client.watch(&format!("/api/v1/jobs/{id}/events")).await?;
    seen.ends.push(started.elapsed());
    if history.status != 200 || !history.words().contains("event: end") {
        return Err(CliError::Bench(format!("a history was answered with {}", history.words())));
    }
    Ok(())
}
