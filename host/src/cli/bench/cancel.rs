//! `bench cancel`: how fast a guest ends that works on nothing, without an end.

use std::time::{Duration, Instant};

use apflow_model::fault::FaultCode;
use apflow_sandbox::{Ended, Stop, StopReason};
use tokio::runtime::Builder;

use super::arguments::BenchCancel;
use super::guest::{self, Guest, HOSTILE};
use super::report::{Report, Row};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;

/// How long a guest works before it is ended: times that fall everywhere between two ticks.
const WORK_US: [u64; 4] = [1_100, 2_300, 3_700, 6_100];
/// The time limit of guests that end by it.
const WALL: Duration = Duration::from_millis(12);
/// The time of a timer beside a guest, on the only thread of a runtime.
const TIMER: Duration = Duration::from_millis(2);

pub(crate) async fn cancel(bench: BenchCancel, output: &Output) -> Result<Exit, CliError> {
    let [tight_loop, ..] = HOSTILE;
    let guest = Guest::hostile(&guest::sandbox()?, tight_loop)?;
    let mut to_trap = Vec::new();
    let mut late = Vec::new();
    for trial in 0..bench.trials {
        let work = WORK_US[trial as usize % WORK_US.len()];
        to_trap.push(cancel_one(&guest, Duration::from_micros(work)).await?);
        if trial % 10 == 0 {
            late.push(end_at_its_deadline(&guest).await?);
        }
    }
    let trials = bench.trials;
    let timers = tokio::task::spawn_blocking(move || timers_beside(&guest, trials)).await;
    let timers = timers.map_err(|error| CliError::Bench(error.to_string()))??;
    let rows = [
        Row::new("cancel_to_trap", to_trap),
        Row::new("late_at_deadline", late),
        Row::new("timer_late_beside_guest", timers),
    ];
    let report = Report::new("cancel", rows.into_iter().flatten().collect());
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

/// The time from a cancellation until the guest, its instance and its store are gone.
async fn cancel_one(guest: &Guest, work: Duration) -> Result<Duration, CliError> {
    let (stop, running) = (Stop::new(), guest.clone());
    let stopping = stop.clone();
    let ending = guest.spawn(async move { (running.run(stop, None).await, Instant::now()) });
    tokio::time::sleep(work).await;
    let asked = Instant::now();
    stopping.now(StopReason::Cancelled);
    let (ended, at) = ending.await.ok_or_else(cut_short)?;
    expect(&ended, FaultCode::Cancelled)?;
    Ok(at.duration_since(asked))
}

/// How long a guest goes on after its time is up.
async fn end_at_its_deadline(guest: &Guest) -> Result<Duration, CliError> {
    let ended = guest.run_apart(Stop::new(), Some(WALL)).await.ok_or_else(cut_short)?;
    expect(&ended, FaultCode::LimitExceeded)?;
    Ok(Duration::from_micros(ended.usage.wall_us).saturating_sub(WALL))
}

/// How late timers are that share their thread with a guest.
fn timers_beside(guest: &Guest, trials: u32) -> Result<Vec<Duration>, CliError> {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| CliError::Bench(error.to_string()))?;
    runtime.block_on(async {
        let stop = Stop::new();
        let (guest, stopping) = (guest.clone(), stop.clone());
        let ending = tokio::spawn(async move { guest.run(stop, None).await });
        let mut late = Vec::new();
        for _ in 0..trials {
            let started = Instant::now();
            tokio::time::sleep(TIMER).await;
            late.push(started.elapsed().saturating_sub(TIMER));
        }
        stopping.now(StopReason::Cancelled);
        expect(&ending.await.map_err(|_| cut_short())?, FaultCode::Cancelled)?;
        Ok(late)
    })
}

fn expect(ended: &Ended, code: FaultCode) -> Result<(), CliError> {
    match &ended.result {
        Err(fault) if fault.code == code => Ok(()),
        Err(fault) => Err(CliError::Bench(format!("the guest ended otherwise: {fault}"))),
        Ok(_) => Err(CliError::Bench("the guest ended by itself".to_owned())),
    }
}

fn cut_short() -> CliError {
    CliError::Bench("the threads for guests ended".to_owned())
}
