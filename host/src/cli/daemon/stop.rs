//! `daemon stop`.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::process::Process;
use super::{Daemon, Stop};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::Places;
use crate::daemon::Present;

/// How often to look whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much longer than its attempts may go on it may take.
const SPARE: Duration = Duration::from_secs(15);
/// How long it may take when it was told to end at once.
const AT_ONCE: Duration = Duration::from_secs(10);

pub(super) async fn run(
    daemon: &Daemon,
    places: &Places,
    asked: &Stop,
    output: &Output,
) -> Result<Exit, CliError> {
    let stopped = stop(daemon, patience(places, asked.timeout), output).await?;
    output.result(&json!({ "stopped": stopped }), || {
        if stopped { "stopped" } else { "no daemon runs" }.to_owned()
    });
    Ok(Exit::Ok)
}

/// How long it may take before it is stopped at once.
pub(super) fn patience(places: &Places, asked: Option<u32>) -> Duration {
    let usual = || {
        // What keeps the settings from being read is no reason to stop it sooner.
        let drain = places.read().unwrap_or_default().http.drain_seconds.seconds();
        drain + SPARE
    };
    asked.map_or_else(usual, |seconds| Duration::from_secs(seconds.into()))
}

/// Stops the daemon, if one runs: it is asked, then told, then ended.
pub(super) async fn stop(
    daemon: &Daemon,
    patience: Duration,
    output: &Output,
) -> Result<bool, CliError> {
    let Some(present) = daemon.find()? else { return Ok(false) };
    let lost = |source| CliError::Io { what: format!("process {}", present.pid), source };
    let Some(process) = Process::open(present.pid).map_err(lost)? else { return Ok(false) };
    // The number was that of the daemon when its process was opened, or it has ended since.
    if !is_same(daemon, &present)? {
        return Ok(true);
    }
    process.end().map_err(lost)?;
    if ended(daemon, &present, patience).await? {
        return Ok(true);
    }
    output.note("it takes long: running attempts are stopped");
    process.end().map_err(lost)?;
    if ended(daemon, &present, AT_ONCE).await? {
        return Ok(true);
    }
    output.note("it does not end by itself, so it is killed: what ran is tried again");
    process.kill().map_err(lost)?;
    if ended(daemon, &present, AT_ONCE).await? {
        return Ok(true);
    }
    Err(CliError::Daemon(format!("process {} cannot be ended", present.pid)))
}

fn is_same(daemon: &Daemon, present: &Present) -> Result<bool, CliError> {
    let found = daemon.find()?;
    Ok(found.is_some_and(|found| (found.pid, found.since) == (present.pid, present.since)))
}

async fn ended(daemon: &Daemon, present: &Present, within: Duration) -> Result<bool, CliError> {
    let deadline = Instant::now() + within;
    while is_same(daemon, present)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(true)
}
