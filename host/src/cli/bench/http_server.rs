//! The servers of `bench http`, in this process, and their clients, over the loopback device.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use apflow_api::{Api, SystemClock};
use apflow_model::auth::AuthSettings;
use apflow_model::listener::ListenerSettings;
use apflow_model::telemetry::MetricsAccess;
use apflow_sandbox::BareClient;
use apflow_store::{Address, BareTable};
use axum::body::Bytes;
use axum::http::{Method, Request};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::assemble;
use crate::cli::error::CliError;
use crate::config::Credentials;
use crate::http::{self, Access, Door, Listener, Pages, Site};
use crate::reload::Reloads;

const TOKEN: &str = "apf_of_the_benchmark";

/// A server, until this is dropped.
pub(super) struct Server {
    address: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
    /// Without it, the door would end its streams.
    _end: Option<watch::Sender<()>>,
}

/// The door of a host, as `serve` opens it.
pub(super) async fn door(api: Api) -> Result<Server, CliError> {
    let (end, ending) = watch::channel(());
    let credentials = Credentials {
        admin_token: TOKEN.to_owned(),
        operator_token: String::from("apf_nobody"),
        is_new: false,
        auth: AuthSettings::default(),
    };
    let access = Access::new(api.clone(), Arc::new(SystemClock), &credentials, assemble::fetch());
    let reloads = Arc::new(Reloads::new(Vec::new()));
    let pages = Pages::new(api.clone(), Arc::default(), reloads, MetricsAccess::Open);
    let door = Door::new(api, access.map_err(failed)?, ending.clone(), pages);
    let settings = ListenerSettings::default();
    let router = http::router(door, Site::new(&settings, false));
    let socket = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let listener = Listener::new(socket, None, settings, router).map_err(failed)?;
    let serving = tokio::spawn(async move {
        listener.serve(ending).await;
        Ok(())
    });
    Ok(Server { address, serving, _end: Some(end) })
}

/// A server whose handler does nothing but commit the JSON that it is sent, to a database below
/// this folder.
pub(super) async fn bare(folder: &Path) -> Result<Server, CliError> {
    let table = BareTable::open(&Address::File(folder.join("bare.db"))).await.map_err(failed)?;
    let table = Arc::new(Mutex::new(table));
    let commit = move |Json(body): Json<Value>| async move {
        let written = table.lock().await.write(&body.to_string()).await;
        written.map(|()| Json(json!({ "ok": true }))).map_err(|error| error.to_string())
    };
    Server::start(Router::new().route("/", post(commit))).await
}

impl Server {
    async fn start(router: Router) -> Result<Self, CliError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(axum::serve(listener, service).into_future());
        Ok(Self { address, serving, _end: None })
    }

    /// A client with a connection of its own.
    pub(super) async fn client(&self) -> Result<Client, CliError> {
        Ok(Client(BareClient::connect(self.address).await.map_err(failed)?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A client with a token.
pub(super) struct Client(BareClient);

impl Client {
    /// Sends JSON and waits for the answer.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: &str,
    ) -> Result<Answer, CliError> {
        self.send(method, path, ("content-type", "application/json"), body).await
    }

    /// Reads a stream of events to its end.
    pub(super) async fn watch(&mut self, path: &str) -> Result<Answer, CliError> {
        self.send(Method::GET, path, ("accept", "text/event-stream"), "").await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        header: (&str, &str),
        body: &str,
    ) -> Result<Answer, CliError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header(header.0, header.1)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .map_err(failed)?;
        let answer = self.0.ask(request).await.map_err(failed)?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.into_body() })
    }
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Result<Value, CliError> {
        serde_json::from_slice(&self.body).map_err(failed)
    }

    /// The status and the body.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
fn failed(error: impl ToString) -> CliError {
    CliError::Bench(error.to_string())
}
