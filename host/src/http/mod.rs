//! The HTTP door: one route for every verb of the table, and one for each that carries bytes.

mod auth;
mod body;
mod files;
mod plugins;
mod problem;
mod route;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apflow_api::{Api, Code, ListEvents, OpenFile, Remote, TABLE, UploadFile, UploadPlugin};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch::Receiver;

pub(crate) use auth::Access;
use problem::Problem;

/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 16 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every request needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) api: Api,
    access: Arc<Access>,
    /// Changes when the host is asked to end: what would go on for ever ends then.
    ending: Receiver<()>,
    requests: Arc<Requests>,
}

impl Door {
    pub(crate) fn new(api: Api, access: Access, ending: Receiver<()>) -> Self {
        Self { api, access: Arc::new(access), ending, requests: Arc::new(Requests::new()) }
    }
}

/// Numbers the requests, so that a response can be found in the log.
struct Requests {
    start: u32,
    next: AtomicU64,
}

impl Requests {
    /// Two starts of the host count from different places.
    fn new() -> Self {
        Self { start: std::process::id(), next: AtomicU64::new(1) }
    }

    fn id(&self) -> String {
        format!("{:x}-{:x}", self.start, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The routes of all verbs.
pub(crate) fn router(door: Door) -> Router {
    let mut router = Router::new().route("/health", get(health)).route("/ready", get(ready));
    for entry in TABLE {
        let mut route = route::of(entry);
        if entry.path == ListEvents::PATH {
            let streams = middleware::from_fn_with_state(door.clone(), watch::stream_if_asked);
            route = route.layer(streams);
        }
        router = router.route(entry.path, route);
    }
    let plugin_form = DefaultBodyLimit::max(UploadPlugin::FORM_BYTES_MAX);
    router
        .route(UploadFile::PATH, post(files::upload))
        .route(OpenFile::PATH, get(files::open))
        .route(UploadPlugin::PATH, post(plugins::load).layer(plugin_form))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(door.clone(), identify))
        .with_state(door)
}

async fn health() -> Response {
    axum::Json(serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        .into_response()
}

/// Whether work can be taken in, for whoever sends it here.
async fn ready(State(door): State<Door>, request: Request) -> Response {
    match door.api.check() {
        Ok(()) => axum::Json(serde_json::json!({ "status": "ready" })).into_response(),
        // The store has logged why.
        Err(error) => Problem::quietly(&error).in_request(RequestId::of(&request)).into_response(),
    }
}

async fn unknown_route(request: Request) -> Problem {
    let detail = "there is no such path, or not with this method";
    Problem::new(Code::UnknownRoute, detail).in_request(RequestId::of(&request))
}

/// Gives every response the id of its request.
async fn identify(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let id = door.requests.id();
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    tracing::info!(request = id, %method, path, status = response.status().as_u16(), "answered");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The id of a request.
#[derive(Clone)]
struct RequestId(String);

impl RequestId {
    fn of(request: &Request) -> String {
        request.extensions().get::<Self>().map(|id| id.0.clone()).unwrap_or_default()
    }
}
