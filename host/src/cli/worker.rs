//! `worker`: runs what others take in.

use std::sync::Arc;

use apflow_model::telemetry::MetricsAccess;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::operations;
use super::output::Output;
use super::signals::Signals;
use crate::assemble::Host;
use crate::config::Config;
use crate::http::{Pages, Started};
use crate::telemetry;

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, CliError> {
    Host::with(config, async |host| {
        let signals = Signals::listen();
        let mut signals = signals
            .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
        let (started, reloads) = (Arc::<Started>::default(), host.reloads(config));
        let (of_pages, of_reloads) = (Arc::clone(&started), Arc::clone(&reloads));
        let access = MetricsAccess::Open;
        let pages = Pages::new(host.api.clone(), of_pages, of_reloads, access);
        let watched = operations::open(config, pages).await?;
        host.start().await?;
        started.now(true);
        output.result(&json!({ "working": true }), || "working".to_owned());
        let ending = async {
            signals.ended().await;
            tracing::info!("ending: nothing more is taken, running attempts may finish");
            signals.drain(host).await;
        };
        let ended = tokio::select! {
            () = ending => Ok(()),
            failed = operations::run(watched, &reloads) => failed,
        };
        telemetry::close_metrics().await;
        ended
    })
    .await?;
    telemetry::close().await;
    Ok(Exit::Ok)
}
