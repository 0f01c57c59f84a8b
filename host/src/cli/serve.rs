//! `serve`: the HTTP API, and the work behind it.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::Serve;
use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::assemble::Host;
use crate::config::Config;
use crate::http::{self, Door, Token};

pub(crate) async fn run(config: &Config, serve: Serve, output: &Output) -> Result<Exit, CliError> {
    let (token, is_new) = config.admin_token()?;
    let host = Host::open(config).await?;
    let address = SocketAddr::new(serve.host, serve.port);
    let unusable = |source| CliError::Io { what: format!("address {address}"), source };
    let listener = TcpListener::bind(address).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    host.start().await?;
    let url = format!("http://{bound}");
    let file = config.config_file();
    output.result(&json!({ "url": url, "token_file": file, "token_is_new": is_new }), || {
        let made = if is_new { "made a token in" } else { "the token is in" };
        format!("listening on {url}\n{made} {}", file.display())
    });
    let router = http::router(Door::new(host.api.clone(), Token::new(token)));
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop());
    serving.await.map_err(unusable)?;
    host.close().await;
    Ok(Exit::Ok)
}

/// Done when somebody asks the process to end.
async fn stop() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => drop(interrupted),
        () = terminate => {}
    }
    tracing::info!("ending: no new requests are taken, running attempts may finish");
}
