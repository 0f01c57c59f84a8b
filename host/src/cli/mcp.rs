//! `mcp`: executors, tools and verbs for a model, on standard input and output.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::hops::Hops;
use clap::Args;
use tokio::time::timeout;

use super::error::CliError;
use super::exit::Exit;
use super::operator::operator;
use super::signals::Signals;
use super::target::Target;
use crate::assemble::Host;
use crate::config::Config;
use crate::mcp::{self, Asker, Verbs};

/// How long jobs that a client left behind may run on before they wait for the next start.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// List every verb of the host, and not only those that look after jobs.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(config: &Config, Mcp { all }: Mcp) -> Result<Exit, CliError> {
    let asker = Asker { caller: operator().into(), hops: Hops::default(), lists_all: all };
    let broken = |what: &str| {
        let what = what.to_owned();
        move |source| CliError::Io { what, source }
    };
    let mut signals = Signals::listen().map_err(broken("the process's signals"))?;
    let Target { client, reason } = Target::find(config).await?;
    tracing::info!(%reason, "where it is done");
    if let Some(client) = client {
        let verbs = Verbs::There(Arc::new(client));
        let served = mcp::serve(verbs, asker, signals.ended()).await;
        served.map_err(broken("the MCP client"))?;
        return Ok(Exit::Ok);
    }
    Host::with(config, async |host| {
        host.start().await?;
        let served = mcp::serve(Verbs::Here(host.api.clone()), asker, signals.ended()).await;
        if timeout(GRACE, host.drain()).await.is_err() {
            host.hurry();
            host.drain().await;
        }
        served.map_err(broken("the MCP client"))
    })
    .await?;
    Ok(Exit::Ok)
}
