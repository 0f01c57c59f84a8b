//! `serve`: the HTTP API, and the work behind it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::arguments::Serve;
use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use super::signals::Signals;
use crate::assemble::Host;
use crate::config::Config;
use crate::http::{self, Access, Door};

/// How long open requests may take to end once the host was asked to.
const GRACE: Duration = Duration::from_secs(3);

pub(crate) async fn run(config: &Config, serve: Serve, output: &Output) -> Result<Exit, CliError> {
    let (token, is_new) = config.admin_token()?;
    let address = SocketAddr::new(serve.host, serve.port);
    let unusable = |source| CliError::Io { what: format!("address {address}"), source };
    Host::with(config, async |host| {
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let bound = listener.local_addr().map_err(unusable)?;
        let signals = Signals::listen();
        let signals = signals
            .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
        if !serve.no_dispatch {
            host.start().await?;
        }
        let url = format!("http://{bound}");
        let file = config.config_file();
        output.result(&json!({ "url": url, "token_file": file, "token_is_new": is_new }), || {
            let made = if is_new { "made a token in" } else { "the token is in" };
            format!("listening on {url}\n{made} {}", file.display())
        });
        let (end, ending) = watch::channel(());
        let door = Door::new(host.api.clone(), Access::new(token), ending);
        answer(listener, door, end, signals).await.map_err(unusable)
    })
    .await?;
    Ok(Exit::Ok)
}

/// Answers requests until the process is asked to end, and a little longer those that are open.
async fn answer(
    listener: TcpListener,
    door: Door,
    end: watch::Sender<()>,
    mut signals: Signals,
) -> std::io::Result<()> {
    let mut stop = end.subscribe();
    let service = http::router(door).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        // An error says that the sender is gone, which is an end as well.
        drop(stop.changed().await);
    });
    let ending = async {
        signals.ended().await;
        tracing::info!("ending: no new requests are taken, running attempts may finish");
        end.send_replace(());
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served,
        () = ending => Ok(()),
    }
}
