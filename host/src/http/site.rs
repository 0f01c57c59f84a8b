//! By which names clients may call the host, and which web pages may use it.

use apflow_api::Code;
use apflow_model::listener::{HostName, ListenerSettings, Origin};
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN, UPGRADE};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::RequestId;
use super::problem::Problem;

/// How long a browser may remember what a page may do.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_mins(10);

/// What a page sends with its requests.
const REQUEST_HEADERS: [&str; 8] = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "range",
    "x-request-id",
];

/// What a page may read of an answer beside its body.
const ANSWER_HEADERS: [&str; 13] = [
    "accept-ranges",
    "content-disposition",
    "content-range",
    "etag",
    "idempotent-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
];

/// The names of the host, and the origins of the pages that may use it.
#[derive(Debug, Clone)]
pub(crate) struct Site(Arc<Names>);

#[derive(Debug)]
struct Names {
    hosts: Vec<HostName>,
    origins: Vec<Origin>,
    is_https: bool,
}

impl Site {
    /// What the settings say. `is_https` when the host itself speaks TLS.
    pub(crate) fn new(settings: &ListenerSettings, is_https: bool) -> Self {
        let (hosts, origins) = (settings.hosts.clone(), settings.origins.clone());
        Self(Arc::new(Names { hosts, origins, is_https }))
    }

    /// Whether the host itself speaks TLS.
    pub(super) fn is_https(&self) -> bool {
        self.0.is_https
    }

    /// Lets pages of the origins use the API from a browser. None when there are none.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        if self.0.origins.is_empty() {
            return None;
        }
        let origins =
            self.0.origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
        Some(
            CorsLayer::new()
                .allow_origin(AllowOrigin::list(origins))
                .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
                .allow_headers(REQUEST_HEADERS.map(HeaderName::from_static))
                .expose_headers(ANSWER_HEADERS.map(HeaderName::from_static))
                .max_age(PREFLIGHT_MAX_AGE),
        )
    }

    /// Whether a client may call the host by this name.
    ///
    /// An address is never a name that a stranger can let stand for another address, which is all
    /// that this guards against.
    fn knows(&self, name: &str) -> bool {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let is_local = || {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        };
        name.parse::<IpAddr>().is_ok()
            || is_local()
            || self.0.hosts.iter().any(|host| host.is(name))
    }

    /// Whether a page of this origin may change something on the host that was called by this name.
    fn admits(&self, origin: &str, called: &Authority) -> bool {
        let is_own = || {
            let Ok(origin) = origin.parse::<Uri>() else { return false };
            let usual = match origin.scheme_str() {
                Some("http") => 80,
                Some("https") => 443,
                _ => return false,
            };
            let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
            origin.authority().is_some_and(|own| {
                own.host().eq_ignore_ascii_case(called.host()) && port(own) == port(called)
            })
        };
        self.0.origins.iter().any(|known| known.as_str() == origin) || is_own()
    }
}

/// Refuses requests that call the host by a foreign name, or that come from a foreign page.
pub(super) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    match fault(&site, &request) {
        None => next.run(request).await,
        Some(problem) => problem.in_request(RequestId::of(&request)).into_response(),
    }
}

/// Why a request is not for this host. None when it is.
fn fault(site: &Site, request: &Request) -> Option<Problem> {
    // Another form is for proxies, and for whoever takes the host for one.
    if !request.uri().path().starts_with('/') {
        let detail = "the request line names no path";
        return Some(Problem::new(Code::InvalidRequest, detail));
    }
    let Some(called) = called(request).filter(|called| site.knows(called.host())) else {
        let detail = "the host does not go by this name: list it under `http.hosts` in \
            `config.yaml`";
        return Some(Problem::new(Code::UnknownHost, detail));
    };
    let changes = !request.method().is_safe() || request.headers().contains_key(UPGRADE);
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let is_admitted =
        |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| site.admits(origin, &called));
    if changes && !origins.all(is_admitted) {
        let detail = "pages of this origin may not use the host: list it under `http.origins` in \
            `config.yaml`";
        return Some(Problem::new(Code::ForeignOrigin, detail));
    }
    None
}

/// The name by which a request calls the host. None unless it does so exactly once. The request line
/// counts more than the header, as in RFC 9112, section 3.2.2.
fn called(request: &Request) -> Option<Authority> {
    let mut values = request.headers().get_all(HOST).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let header: Authority = value.to_str().ok()?.parse().ok()?;
    let called = request.uri().authority().cloned().unwrap_or(header);
    (!called.as_str().contains('@')).then_some(called)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn site() -> Site {
        let settings = r#"{"hosts": ["api.example.com"], "origins": ["https://app.example.com"]}"#;
        Site::new(&serde_json::from_str(settings).unwrap(), false)
    }

    fn asked(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
        let request = Request::builder().method(method).uri(uri);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        match fault(&site(), &request.body(Body::empty()).unwrap()) {
            None => Ok(()),
            Some(problem) => Err(problem.into_response().status().as_u16()),
        }
    }

    #[test]
    fn only_names_of_its_own_are_answered() {
        for own in [
            "127.0.0.1:8000",
            "10.1.2.3",
            "[::1]:8000",
            "localhost:8000",
            "LOCALHOST.",
            "a.localhost",
            "api.example.com",
            "API.example.com:443",
        ] {
            assert_eq!(asked("GET", "/health", &[("host", own)]), Ok(()), "{own}");
        }
        for foreign in [
            "evil.example",
            "",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "u@localhost",
            "a b",
        ] {
            assert_eq!(asked("GET", "/health", &[("host", foreign)]), Err(421), "{foreign}");
        }
        assert_eq!(asked("GET", "/health", &[]), Err(421));
        assert_eq!(asked("GET", "/", &[("host", "localhost"), ("host", "localhost")]), Err(421));
        assert_eq!(asked("GET", "http://evil.example/", &[("host", "localhost")]), Err(421));
        assert_eq!(asked("GET", "http://localhost/", &[("host", "evil.example")]), Ok(()));
    }

    #[test]
    fn only_known_pages_may_change_something() {
        let from =
            |method, origin| asked(method, "/", &[("host", "localhost:8000"), ("origin", origin)]);
        assert_eq!(from("POST", "https://app.example.com"), Ok(()));
        assert_eq!(from("POST", "http://localhost:8000"), Ok(()));
        for foreign in
            ["https://evil.example", "null", "http://localhost:9000", "http://localhost", ""]
        {
            assert_eq!(from("POST", foreign), Err(403), "{foreign}");
            assert_eq!(from("DELETE", foreign), Err(403), "{foreign}");
            assert_eq!(from("GET", foreign), Ok(()), "{foreign}");
        }
        let socket =
            [("host", "localhost"), ("upgrade", "websocket"), ("origin", "https://evil.example")];
        assert_eq!(asked("GET", "/", &socket), Err(403));
    }

    #[test]
    fn a_page_that_a_proxy_serves_with_tls_is_its_own() {
        let headers = [("host", "api.example.com"), ("origin", "https://api.example.com")];
        assert_eq!(asked("POST", "/", &headers), Ok(()));
    }
}
