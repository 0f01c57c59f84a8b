//! What `serve` and `worker` do beside their work: they answer whoever watches over them at an address
//! of its own, take settings anew, and keep the log as the settings say.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::error::CliError;
use crate::config::{Config, ConfigError};
use crate::http::Pages;
use crate::reload::Reloads;
use crate::telemetry;

/// The pages at an address of their own, where the settings name one.
pub(super) struct Watched(Option<(TcpListener, Pages)>);

/// Has the log and the export of spans and metrics do as the settings say, and takes the address of
/// the pages.
pub(super) async fn open(config: &Config, pages: Pages) -> Result<Watched, CliError> {
    let settings = &config.file.telemetry;
    let measured = pages.clone();
    telemetry::measure(Arc::new(move || {
        let pages = measured.clone();
        Box::pin(async move { pages.read().await })
    }));
    let taken = telemetry::configure(settings, &config.exports(&config.file)?);
    taken.map_err(|refused| ConfigError::of_telemetry(config.config_file(), refused))?;
    let Some(address) = settings.metrics_address else { return Ok(Watched(None)) };
    let listener = TcpListener::bind(address).await;
    let what = format!("address {address} of `telemetry.metrics_address`");
    let listener = listener.map_err(|source| CliError::Io { what, source })?;
    Ok(Watched(Some((listener, pages))))
}

/// Does that, and ends only when it cannot go on.
pub(super) async fn run(watched: Watched, reloads: &Reloads) -> Result<(), CliError> {
    let failed = |what: &str, source| CliError::Io { what: what.to_owned(), source };
    tokio::select! {
        Err(source) = answer(watched) => Err(failed("the address of the metrics", source)),
        Err(source) = reloads.run() => Err(failed("the process's signals", source)),
        else => Ok(()),
    }
}

async fn answer(Watched(pages): Watched) -> io::Result<Infallible> {
    if let Some((listener, pages)) = pages {
        axum::serve(listener, pages.router()).await?;
    }
    std::future::pending().await
}
