//! The HTTP door: one route for every verb of the table, and one for each that carries bytes.

mod auth;
mod body;
mod files;
mod limit;
mod openapi;
mod problem;
mod route;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apflow_api::{Api, Caller, Code, ListEvents, OpenFile, Remote, Stranger, TABLE, UploadFile};
use apflow_model::access::Principal;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch::Receiver;

pub(crate) use auth::{Access, Fetch, jwt};
use limit::Standings;
pub(crate) use openapi::document;
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

impl Door {
    /// Who sends a request for a verb. Who is refused leaves a line in the audit.
    ///
    /// It is asked before the body is read: strangers cannot make the host read megabytes.
    async fn caller(&self, verb: &'static str, request: &Parts) -> Result<Caller, Problem> {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
        let id = request.extensions.get::<RequestId>().map(|id| id.0.clone());
        let refused = match self.access.caller(request).await {
            Ok(principal) => match self.count(&principal, request) {
                Ok(()) => return Ok(Caller { principal, request: id, peer }),
                Err(problem) => (Some(principal), problem),
            },
            Err(problem) => (None, problem),
        };
        let (principal, problem) = refused;
        self.api.refused(verb, Stranger { principal, request: id, peer }, problem.code).await;
        Err(problem)
    }

    /// Counts a request for the limits of its caller, and notes them for the answer.
    fn count(&self, caller: &Principal, request: &Parts) -> Result<(), Problem> {
        let counted = self.api.count_request(caller);
        let standings = match &counted {
            Ok(standings) => standings.clone(),
            Err(error) => error.standing().into_iter().collect(),
        };
        if let Some(place) = request.extensions.get::<Standings>() {
            place.note(standings);
        }
        counted.map(drop).map_err(|error| Problem::quietly(&error))
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
    router
        .route(UploadFile::PATH, post(files::upload))
        .route(OpenFile::PATH, get(files::open))
        .merge(openapi::router())
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(limit::tell))
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
    let detail = "there is no such path: `GET /api/v1` answers those there are";
    Problem::new(Code::UnknownRoute, detail).in_request(RequestId::of(&request))
}

/// The header `Allow` is added by the router.
async fn method_not_allowed(request: Request) -> Problem {
    let detail = "the path is there, but not with this method: see the header `Allow`";
    Problem::new(Code::MethodNotAllowed, detail).in_request(RequestId::of(&request))
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
