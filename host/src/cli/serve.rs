//! `serve`: the HTTP API, and the work behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use apflow_api::{SystemClock, chain};
use apflow_model::listener::{ListenerSettings, TlsFiles};
use apflow_model::telemetry::MetricsAccess;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::arguments::Serve;
use super::background::Background;
use super::error::CliError;
use super::exit::Exit;
use super::operations;
use super::output::Output;
use super::signals::Signals;
use crate::assemble::{self, Host};
use crate::config::{Config, ConfigError};
use crate::http::{self, Access, Door, Listener, Pages, Site, Started, Tls, TlsError};
use crate::remote;
use crate::telemetry;

/// How long open requests may take to end once nothing runs any more.
const GRACE: Duration = Duration::from_secs(3);

pub(crate) async fn run(config: &Config, serve: Serve, output: &Output) -> Result<Exit, CliError> {
    let settings = settings(config, &serve);
    admit(serve.host, &settings)?;
    let mut background = serve.daemon.then(|| Background::enter(config)).transpose()?;
    let credentials = config.credentials()?;
    let unreadable = |error: TlsError| CliError::Usage(chain(&error));
    let certificate = settings.tls.as_ref().map(|files| files.certificate.clone());
    let tls = settings.tls.clone().map(Tls::open).transpose().map_err(unreadable)?;
    let address = SocketAddr::new(serve.host, serve.port);
    let unusable = |source| CliError::Io { what: format!("address {address}"), source };
    let deaf = |source| CliError::Io { what: "the process's signals".to_owned(), source };
    Host::with(config, async |host| {
        let access =
            Access::new(host.api.clone(), Arc::new(SystemClock), &credentials, assemble::fetch());
        let access = access.map_err(|reason| ConfigError::Invalid {
            path: config.config_file(),
            reason: format!(
                "{reason}: what opens the door is set by `auth.api_keys`, `APFLOW_API_KEYS` and \
                     `auth.oidc`"
            ),
        })?;
        let socket = TcpListener::bind(address).await.map_err(unusable)?;
        let bound = socket.local_addr().map_err(unusable)?;
        let mut signals = Signals::listen().map_err(deaf)?;
        let (end, ending) = watch::channel(());
        let (started, reloads) = (Arc::<Started>::default(), host.reloads(config));
        let readers = metrics_access(config, address, &settings);
        let (of_pages, of_reloads) = (Arc::clone(&started), Arc::clone(&reloads));
        let pages = Pages::new(host.api.clone(), of_pages, of_reloads, readers);
        let watched = operations::open(config, pages.clone()).await?;
        let door = Door::new(host.api.clone(), access, ending.clone(), pages);
        let url = format!("{}://{bound}", if tls.is_some() { "https" } else { "http" });
        let router = http::router(door, Site::new(&settings, tls.is_some()));
        let listener = Listener::new(socket, tls, settings, router).map_err(deaf)?;
        let start = async {
            // `/ready` answers already, and says no.
            if !serve.no_dispatch {
                host.start().await?;
            }
            started.now(!serve.no_dispatch);
            let token = &credentials.operator_token;
            let announced =
                remote::announce(&config.data_dir, bound, token, certificate.as_deref());
            let unwritable =
                |source| CliError::Io { what: config.data_dir.display().to_string(), source };
            let _announced = announced.await.map_err(unwritable)?;
            announce(config, &url, credentials.is_new, output);
            if let Some(background) = &mut background {
                background.ready(&url)?;
            }
            operations::run(watched, &reloads).await
        };
        let ended = tokio::select! {
            () = until_closed(listener, ending, &end) => Ok(()),
            () = until_ended(host, &mut signals, &end) => Ok(()),
            failed = start => failed,
        };
        telemetry::close_metrics().await;
        ended
    })
    .await?;
    telemetry::close().await;
    Ok(Exit::Ok)
}

/// Says where it listens.
fn announce(config: &Config, url: &str, is_new: bool, output: &Output) {
    let file = config.config_file();
    output.result(&json!({ "url": url, "token_file": file, "token_is_new": is_new }), || {
        let made = if is_new { "made a token in" } else { "the token is in" };
        format!("listening on {url}\n{made} {}", file.display())
    });
}

/// Who may read the metrics at the door, unless the settings say: everybody who reaches it from this
/// machine, and from others who has a token.
fn metrics_access(
    config: &Config,
    address: SocketAddr,
    settings: &ListenerSettings,
) -> MetricsAccess {
    let is_near = address.ip().is_loopback() && !settings.behind_proxy;
    let usual = if is_near { MetricsAccess::Open } else { MetricsAccess::Token };
    config.file.telemetry.metrics.unwrap_or(usual)
}

/// What `config.yaml` and the flags say; the flags count more.
fn settings(config: &Config, serve: &Serve) -> ListenerSettings {
    let mut settings = config.file.http.clone();
    if let (Some(certificate), Some(key)) = (&serve.tls_cert, &serve.tls_key) {
        settings.tls = Some(TlsFiles { certificate: certificate.clone(), key: key.clone() });
    }
    settings.behind_proxy |= serve.behind_proxy;
    settings
}

/// Refuses to listen where tokens would cross a network for everybody to read.
fn admit(host: IpAddr, settings: &ListenerSettings) -> Result<(), CliError> {
    if host.to_canonical().is_loopback() || settings.tls.is_some() || settings.behind_proxy {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "other machines can reach `{host}`, and tokens would cross the network in plain text: give \
         a certificate with `--tls-cert` and `--tls-key`, or say `--behind-proxy` when a proxy in \
         front of this host speaks TLS"
    )))
}

/// Waits until the process is asked to end, lets running attempts finish, ends all streams, and
/// waits a little longer for open requests.
async fn until_ended(host: &Host, signals: &mut Signals, end: &watch::Sender<()>) {
    signals.ended().await;
    tracing::info!("ending: no new jobs are taken, running attempts may finish");
    signals.drain(host).await;
    end.send_replace(());
    tokio::time::sleep(GRACE).await;
}

/// Serves until no connection is left and no watcher: a WebSocket is no connection of the listener
/// any more, and holds on to the end instead.
async fn until_closed(listener: Listener, ending: watch::Receiver<()>, end: &watch::Sender<()>) {
    listener.serve(ending).await;
    end.closed().await;
}
