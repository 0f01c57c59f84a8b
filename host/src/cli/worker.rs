//! `worker`: runs what others take in.

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use super::signals::Signals;
use crate::assemble::Host;
use crate::config::Config;

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, CliError> {
    Host::with(config, async |host| {
        let signals = Signals::listen();
        let mut signals = signals
            .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
        host.start().await?;
        output.result(&json!({ "working": true }), || "working".to_owned());
        signals.ended().await;
        tracing::info!("ending: nothing more is taken, running attempts may finish");
        signals.drain(host).await;
        Ok::<_, CliError>(())
    })
    .await?;
    Ok(Exit::Ok)
}
