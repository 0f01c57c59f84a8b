//! What of `bench http` only looks: a read with and without its line in the audit, and a scrape of the
//! metrics beside few and beside many tasks.

use std::time::Instant;

use apflow_api::{ListJobs, Remote};
use axum::http::Method;

use super::engine::started;
use super::http_server;
use super::samples::Samples;
use super::store;
use crate::cli::error::CliError;
use crate::config::Config;

/// How often each is measured in a turn, over one kept connection.
const PER_TURN: u32 = 200;
/// How often the host starts anew with the other setting: they are measured in turn.
const TURNS: u32 = 4;

/// Measures both, and leaves so many more ended tasks in the database.
pub(super) async fn measure(
    config: &Config,
    ended: u32,
    samples: &mut Samples,
) -> Result<(), CliError> {
    let mut unaudited = config.clone();
    unaudited.file.audit.reads = false;
    let read = format!("{}?limit=1", ListJobs::PATH);
    for _ in 0..TURNS {
        ask(config, &read, "read", samples).await?;
        ask(&unaudited, &read, "read_unaudited", samples).await?;
    }
    ask(config, "/metrics", "scrape", samples).await?;
    store::fill(config, ended).await?;
    ask(config, "/metrics", "scrape_ended", samples).await
}

/// Asks a host with these settings, again and again.
async fn ask(
    config: &Config,
    path: &str,
    row: &str,
    samples: &mut Samples,
) -> Result<(), CliError> {
    started(config, async |api| {
        let door = http_server::door(api.clone()).await?;
        let mut client = door.client().await?;
        // The first opens the connection, and what the host reads at its start.
        for turn in 0..=PER_TURN {
            let started = Instant::now();
            let answer = client.ask(Method::GET, path, "").await?;
            if turn > 0 {
                samples.add(row, started.elapsed());
            }
            if answer.status != 200 {
                let words = answer.words();
                return Err(CliError::Bench(format!("`{path}` was answered with {words}")));
            }
        }
        Ok(())
    })
    .await
}
