//! `bench neighbours`: a task that does nothing, alone and beside guests that a sandbox must stop.

use std::time::{Duration, Instant};

use apflow_sandbox::{GuestTask, Stop, StopReason};

use super::arguments::Bench;
use super::guest::{self, Guest, HOSTILE};
use super::report::{Report, Row};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;

/// How often the no-op is run in one round beside each neighbour.
const CALLS_PER_ROUND: u32 = 100;
/// The pause before each call, so that calls meet every part of a time slice.
const PAUSE: Duration = Duration::from_micros(700);
/// How long a neighbour is at work before it is measured beside.
const SETTLE: Duration = Duration::from_millis(10);
/// What it is called when there is no neighbour.
const QUIET: &str = "quiet";

pub(crate) async fn neighbours(bench: Bench, output: &Output) -> Result<Exit, CliError> {
    let sandbox = guest::sandbox()?;
    let noop = Guest::noop(&sandbox)?;
    let mut places = vec![Place { name: QUIET, neighbour: None, times: Vec::new() }];
    for hostile in HOSTILE {
        let neighbour = Some(Guest::hostile(&sandbox, hostile)?);
        places.push(Place { name: hostile.name(), neighbour, times: Vec::new() });
    }
    for round in 0..=bench.rounds {
        for place in &mut places {
            let times = place.measure(&noop).await?;
            // The first round warms the pools and the caches.
            if round > 0 {
                place.times.extend(times);
            }
        }
    }
    let rows = places.into_iter().filter_map(|place| Row::new(place.name, place.times)).collect();
    let mut report = Report::new("neighbours", rows).with_memory();
    for hostile in HOSTILE {
        report = report.ratio_p99(hostile.name(), QUIET);
    }
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

/// The no-op beside one neighbour, or none.
struct Place {
    name: &'static str,
    neighbour: Option<Guest>,
    times: Vec<Duration>,
}

impl Place {
    async fn measure(&self, noop: &Guest) -> Result<Vec<Duration>, CliError> {
        let stop = Stop::new();
        let at_work = self.neighbour.clone().map(|guest| keep_at_work(guest, stop.clone()));
        tokio::time::sleep(SETTLE).await;
        let mut times = Vec::new();
        for _ in 0..CALLS_PER_ROUND {
            tokio::time::sleep(PAUSE).await;
            let started = Instant::now();
            let ended = noop.run_apart(Stop::new(), None).await;
            times.push(started.elapsed());
            if ended.is_none_or(|ended| ended.result.is_err()) {
                return Err(CliError::Bench(format!("the no-op failed beside {}", self.name)));
            }
        }
        stop.now(StopReason::Cancelled);
        if let Some(at_work) = at_work {
            at_work.await;
        }
        Ok(times)
    }
}

/// Runs a guest again and again until it is stopped.
fn keep_at_work(guest: Guest, stop: Stop) -> GuestTask<()> {
    guest.clone().spawn(async move {
        while stop.reason().is_none() {
            // However it ends is fine: it is a bad guest.
            drop(guest.run(stop.clone(), None).await);
        }
    })
}
