//! The HTTP door: one route for every verb of the table, and one for each that carries bytes.

mod auth;
mod body;
mod compress;
mod digest;
mod files;
mod follow;
mod headers;
mod limit;
mod listen;
mod mcp;
mod metrics;
mod openapi;
mod pages;
mod pass;
mod plugins;
mod problem;
mod range;
mod route;
mod site;
mod socket;
mod unchanged;
mod upload;
mod watch;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apflow_api::{
    Api, ApiError, Caller, Code, ListEvents, OpenFile, OpenUpload, Remote, Stranger, TABLE,
    UploadFile, UploadPlugin, WatchJob,
};
use apflow_model::access::Principal;
use apflow_model::telemetry::MetricsAccess;
use apflow_model::trace;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch::Receiver;
use tracing::field::Empty;
use tracing::{Instrument, Span};

pub(crate) use auth::{Access, Fetch, jwt};
use limit::Standings;
pub(crate) use listen::{Listener, Tls, TlsError};
pub(crate) use openapi::document;
pub(crate) use pages::{Pages, Started};
use problem::Problem;
pub(crate) use site::Site;

/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 16 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every request needs. It is cloned several times for each, so all clones are one.
#[derive(Clone)]
pub(crate) struct Door(Arc<Needed>);

/// What every request needs.
pub(crate) struct Needed {
    pub(crate) api: Api,
    access: Access,
    /// Changes when the host is asked to end: what would go on for ever ends then.
    ending: Receiver<()>,
    requests: Requests,
    pages: Pages,
}

impl Deref for Door {
    type Target = Needed;

    fn deref(&self) -> &Needed {
        &self.0
    }
}

impl Door {
    pub(crate) fn new(api: Api, access: Access, ending: Receiver<()>, pages: Pages) -> Self {
        let requests = Requests::new();
        Self(Arc::new(Needed { api, access, ending, requests, pages }))
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
                Err(error) => (Some(principal), Problem::quietly(&error)),
            },
            Err(problem) => (None, problem),
        };
        let (principal, problem) = refused;
        self.api.refused(verb, Stranger { principal, request: id, peer }, problem.code).await;
        Err(problem)
    }

    /// Counts a request for the limits of its caller, and notes them for the answer.
    fn count(&self, caller: &Principal, request: &Parts) -> Result<(), ApiError> {
        let counted = self.api.count_request(caller);
        let standings = match &counted {
            Ok(standings) => standings.clone(),
            Err(error) => error.standing().into_iter().collect(),
        };
        if let Some(place) = request.extensions.get::<Standings>() {
            place.note(standings);
        }
        counted.map(drop)
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

/// The routes of all verbs, for clients that call the host by a name of this site.
pub(crate) fn router(door: Door, site: Site) -> Router {
    let mut router = Router::new()
        .route("/health", get(pages::health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics));
    for entry in TABLE {
        let mut route = route::of(entry);
        if entry.path == ListEvents::PATH {
            let streams = middleware::from_fn_with_state(door.clone(), watch::stream_if_asked);
            route = route.layer(streams);
        }
        router = router.route(entry.path, route);
    }
    let plugin_form = DefaultBodyLimit::max(UploadPlugin::FORM_BYTES_MAX);
    let router = router
        .route(UploadFile::PATH, post(upload::upload))
        .route(OpenUpload::PATH, get(files::open_upload))
        .route(OpenFile::PATH, get(files::open))
        .route(OpenFile::PATH_OF_ONLY, get(files::open))
        .route(WatchJob::PATH, get(socket::watch))
        .route(UploadPlugin::PATH, post(plugins::load).layer(plugin_form))
        .route(mcp::PATH, mcp::route(&door))
        .merge(openapi::router())
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        // Together, from the outermost on: each call of `layer` is one more copy of all that is
        // inside of it, for each request.
        .layer((
            compress::layer(),
            middleware::from_fn(unchanged::skip),
            middleware::from_fn(limit::tell),
            DefaultBodyLimit::max(BODY_BYTES_MAX),
        ));
    // What a page may not read, it is not told either: outside of all that answers.
    let router = match site.cors() {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer((
            middleware::from_fn_with_state(door.clone(), identify),
            middleware::from_fn_with_state(site.clone(), headers::secure),
            middleware::from_fn_with_state(site, site::guard),
        ))
        .with_state(door)
}

async fn ready(State(door): State<Door>, request: Request) -> Response {
    door.pages.ready(RequestId::of(&request)).await
}

async fn metrics(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let (parts, _) = request.into_parts();
    let caller = match door.pages.metrics_access {
        MetricsAccess::Open => Ok(()),
        MetricsAccess::Token => door.access.caller(&parts).await.map(drop),
        MetricsAccess::Off => Err(no_such_path()),
    };
    match caller {
        Ok(()) => door.pages.metrics(&parts.headers).await,
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn unknown_route(request: Request) -> Problem {
    no_such_path().in_request(RequestId::of(&request))
}

fn no_such_path() -> Problem {
    let detail = "there is no such path: `GET /api/v1` answers those there are";
    Problem::new(Code::UnknownRoute, detail)
}

/// The header `Allow` is added by the router.
async fn method_not_allowed(request: Request) -> Problem {
    let detail = "the path is there, but not with this method: see the header `Allow`";
    Problem::new(Code::MethodNotAllowed, detail).in_request(RequestId::of(&request))
}

/// Gives every response the id of its request, and every request its place in a trace.
async fn identify(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let id = RequestId::sent(request.headers()).unwrap_or_else(|| door.requests.id());
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let operation = metrics::operation(&request);
    let span = span(&request, &id, &operation);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let mut response = async {
        let response = door.pages.counted.measure(&operation, next.run(request)).await;
        let status = response.status();
        Span::current().record("status", status.as_u16());
        if status.is_server_error() {
            Span::current().record("fault", status.as_str());
        }
        let peer = peer.map(tracing::field::display);
        tracing::info!(request = id, %method, path, status = status.as_u16(), peer, "answered");
        response
    }
    .instrument(span)
    .await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The span of a request: below the one that its client names, if it does.
fn span(request: &Request, id: &str, operation: &str) -> Span {
    let parent = request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok());
    tracing::info_span!(
        target: trace::TARGET,
        "request",
        request = id,
        operation,
        traceparent = parent,
        status = Empty,
        fault = Empty,
    )
}

/// The id of a request.
#[derive(Clone)]
struct RequestId(String);

impl RequestId {
    /// The longest id of a client's that is taken over, in characters.
    const CHARACTERS_MAX: usize = 128;

    /// The id that a client gave its request, so that it finds it in the logs of all that it went
    /// through. None unless it gave one that can stand there as it is.
    fn sent(headers: &HeaderMap) -> Option<String> {
        let mut values = headers.get_all(REQUEST_ID).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let id = value.to_str().ok()?;
        let is_sane = (1..=Self::CHARACTERS_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_sane.then(|| id.to_owned())
    }

    fn of(request: &Request) -> String {
        request.extensions().get::<Self>().map(|id| id.0.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_of_a_client_is_taken_over() {
        let sent = |id: &str| {
            let value = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            RequestId::sent(&HeaderMap::from_iter([(REQUEST_ID, value)]))
        };
        for sane in ["a", "01J2-x_y.z:7", &"a".repeat(128)] {
            assert_eq!(sent(sane).as_deref(), Some(sane));
        }
        for other in ["", "a b", "\u{e9}", "a\tb", &"a".repeat(129)] {
            assert_eq!(sent(other), None, "{other}");
        }
        let mut twice = HeaderMap::new();
        twice.append(REQUEST_ID, HeaderValue::from_static("a"));
        twice.append(REQUEST_ID, HeaderValue::from_static("b"));
        assert_eq!(RequestId::sent(&twice), None);
        assert_eq!(RequestId::sent(&HeaderMap::new()), None);
    }
}
