//! The only way out: every request and connection of every guest is checked and counted here.
//!
//! The name is resolved once, the addresses are checked, and the connection goes to exactly an
//! address that was checked, for HTTP and for TCP by the same function. A connection of HTTP serves
//! further requests of its plugin. The host follows no redirect: a guest that does sends a new
//! request.

mod address;
mod body;
mod connect;
mod dial;
mod exchange;
mod idle;
mod outside;
mod own;
mod rewritten;
mod secret;
mod send;
mod smtp;
pub(crate) mod sockets;
mod tls;
mod visit;
mod wire;

use std::fmt::Display;
use std::io;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_model::capability::{HttpTarget, Scheme, Scope, normal_path};
use apflow_model::hops::{self, Hops};
use apflow_model::limit::{Breach, Limits};
use apflow_model::trace::{self, TraceContext};
use http::Request;
use http::header::{HeaderMap, HeaderValue};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::port::TaskPort;
use crate::secret::Secrets;
use crate::stop::Stop;

pub use address::is_public;
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub use dial::Connection;
pub(crate) use dial::Undialed;
pub(crate) use outside::Outside;
pub use own::OwnClient;
pub(crate) use smtp::{Login, Mechanism, Unauthenticated};

/// The egress of one attempt.
#[derive(Clone)]
pub(crate) struct Egress {
    scope: Scope,
    limits: Limits,
    port: Arc<dyn TaskPort>,
    outside: Arc<Outside>,
    stop: Stop,
    pub(crate) secrets: Secrets,
    pub(crate) ledger: Arc<Ledger>,
    /// What every request says of the hosts that its task came through.
    hops: Option<HeaderValue>,
    /// What every request says of the trace that it is part of, whatever the guest says.
    trace: Option<HeaderValue>,
}

/// What an attempt sent, received and was refused.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) requests: AtomicU64,
    pub(crate) body_bytes: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) tcp_bytes: AtomicU64,
    /// The connections whose servers failed, or may still answer.
    pub(crate) unanswered: AtomicU64,
    told: AtomicU64,
    refusal: Mutex<Refusal>,
}

/// What the guest was refused last, and has not got over.
#[derive(Debug, Clone, Default)]
pub(crate) enum Refusal {
    #[default]
    None,
    /// Something that is not granted. The sentence says what to grant.
    Denied(String),
    /// Something over a limit.
    Breach(Breach),
    /// A destination that is left alone for so long.
    Held(String, Duration),
}

impl Ledger {
    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuse(&self, refusal: Refusal) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

/// The most refusals of one attempt that are told.
const TOLD_MAX: u64 = 16;

/// Reads where a request goes, and brings its path into the form that is checked and sent.
///
/// # Errors
///
/// [`Error::HttpRequestUriInvalid`] for what servers could read in two ways.
pub fn target<B>(request: &Request<B>) -> Result<HttpTarget, Error> {
    let uri = request.uri();
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    if authority.as_str().contains('@') {
        return Err(Error::HttpRequestUriInvalid);
    }
    let scheme = uri.scheme_str().and_then(Scheme::find).ok_or(Error::HttpRequestUriInvalid)?;
    let host = host(authority.host()).ok_or(Error::HttpRequestUriInvalid)?;
    let port = match authority.port_u16() {
        Some(port) if port > 0 => port,
        None if authority.as_str() == authority.host() => scheme.port(),
        // No port, or none that there is.
        Some(_) | None => return Err(Error::HttpRequestUriInvalid),
    };
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    Ok(HttpTarget {
        method: request.method().as_str().to_owned(),
        scheme,
        host,
        port,
        path: normal_path(path).map_err(|_| Error::HttpRequestUriInvalid)?,
    })
}

/// A host as patterns name it: an address of IPv6 in its shortest form, or a name in lower case. None
/// for what no pattern can name.
fn host(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix('[') {
        let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!name.is_empty() && name.chars().all(is_allowed)).then(|| name.to_ascii_lowercase())
}

impl Egress {
    pub(crate) fn new(
        scope: Scope,
        limits: Limits,
        port: Arc<dyn TaskPort>,
        outside: Arc<Outside>,
        stop: Stop,
    ) -> Self {
        let (secrets, ledger) = (Secrets::default(), Arc::default());
        Self { scope, limits, port, outside, stop, secrets, ledger, hops: None, trace: None }
    }

    /// Hands in the hosts that the task came through.
    pub(crate) fn set_hops(&mut self, hops: &Hops) {
        self.hops = HeaderValue::try_from(hops.to_string()).ok();
    }

    /// Hands in the span that its requests are part of.
    pub(crate) fn set_trace(&mut self, trace: Option<TraceContext>) {
        self.trace = trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok());
    }

    /// Says of a request which hosts its task came through, and of which trace it is part, whatever
    /// the guest says.
    fn stamp(&self, headers: &mut HeaderMap) {
        headers.remove(hops::HEADER);
        if let Some(hops) = &self.hops {
            headers.insert(hops::HEADER, hops.clone());
        }
        if let Some(trace) = &self.trace {
            headers.insert(trace::HEADER, trace.clone());
        }
    }

    #[cfg(test)]
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Notes that the guest was refused something, and gives back the words for it.
    pub(crate) fn deny(&self, denial: &(impl Display + ?Sized)) -> String {
        let message = denial.to_string();
        self.ledger.refuse(Refusal::Denied(message.clone()));
        if self.may_tell() {
            self.port.denied(&message);
        }
        message
    }

    /// Counts one more refusal that is told. False when that were enough.
    fn may_tell(&self) -> bool {
        self.ledger.told.fetch_add(1, Ordering::Relaxed) < TOLD_MAX
    }

    /// Counts one more of what is admitted. False when there were as many as there may be.
    fn count(&self, counter: &AtomicU64, most: u64, breach: Breach) -> bool {
        let one_more = |count: u64| (count < most).then_some(count + 1);
        let is_counted =
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        // A guest that goes on to something it may do has got over what it was refused.
        self.ledger.refuse(if is_counted { Refusal::None } else { Refusal::Breach(breach) });
        is_counted
    }

    fn count_request(&self) -> Result<(), Error> {
        let most = self.limits.http_requests;
        let is_counted = self.count(&self.ledger.requests, most, Breach::HttpRequests(most));
        if is_counted { Ok(()) } else { Err(Error::ConnectionLimitReached) }
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send>;

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        if self.stop.reason().is_some() {
            return Box::new(async { Err(Error::ConnectionTerminated) });
        }
        let to = match target(&request) {
            Ok(to) => to,
            Err(error) => return Box::new(async { Err(error) }),
        };
        if let Err(denial) = self.scope.admit_http(&to) {
            self.deny(&denial);
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        if let Err(denial) = secret::check(&self.secrets, &to, &request) {
            self.deny(&denial);
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        if let Err(error) = self.count_request() {
            return Box::new(async { Err(error) });
        }
        self.stamp(request.headers_mut());
        let sending = send::send(self.clone(), to, request, options.unwrap_or_default());
        // The body drives its connection itself.
        let io: Io = Box::new(std::future::ready(Ok(())));
        Box::new(async { Ok((sending.await?, io)) })
    }

    fn is_supported_scheme(&mut self, scheme: &http::uri::Scheme) -> bool {
        Scheme::find(scheme.as_str()).is_some()
    }

    // The guest gets these as values, and its task says them: they are no news for the host's log,
    // where the defaults would put them.

    fn p2_error_from_connect(&mut self, error: &io::Error) -> ErrorCode {
        let kind = error.kind();
        if kind == io::ErrorKind::TimedOut {
            return ErrorCode::ConnectionTimeout;
        }
        if matches!(kind, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) {
            return ErrorCode::DestinationUnavailable;
        }
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, error: &io::Error) -> ErrorCode {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::TlsCertificateError,
            _ => ErrorCode::TlsProtocolError,
        }
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        if error.is_incomplete_message() {
            return ErrorCode::HttpResponseIncomplete;
        }
        ErrorCode::HttpProtocolError
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn read(uri: &str) -> Result<HttpTarget, Error> {
        target(&Request::get(uri).body(()).unwrap())
    }

    #[test]
    fn a_target_is_read_without_tricks() {
        let to = read("http://API.Example.com./x").unwrap();
        assert_eq!((to.host.as_str(), to.port), ("api.example.com", 80));
        let to = read("https://[::1]:8443/").unwrap();
        assert_eq!((to.host.as_str(), to.port), ("::1", 8443));
        assert_eq!(read("https+insecure://a.example/").unwrap().scheme, Scheme::HttpsInsecure);
        assert!(read("ftp://a.example/").is_err());
        assert!(read("http://allowed@evil.example/").is_err());
        assert!(read("/only/a/path").is_err());
    }

    #[test]
    fn a_host_that_no_pattern_can_name_is_refused() {
        assert_eq!(read("http://[0:0:0:0:0:0:0:1]/").unwrap().host, "::1");
        for host in
            ["127.1[::1]:80", "[fe80::1%25eth0]", "a!b", "a%2eb", "[v1.x]", "a:0", "a:", "a:65536"]
        {
            let uri = format!("http://{host}/");
            let Ok(request) = Request::get(&uri).body(()) else { continue };
            assert!(target(&request).is_err(), "{uri}");
        }
    }

    #[test]
    fn what_a_guest_says_of_its_hops_does_not_count() {
        let mut egress = fixture::egress("", &[], Outside::default());
        let mut headers = HeaderMap::new();
        headers.append(hops::HEADER, HeaderValue::from_static("h_lies"));
        headers.append(hops::HEADER, HeaderValue::from_static("h_more"));
        egress.stamp(&mut headers);
        assert!(headers.is_empty());
        let here = "h_0123456789abcdef";
        egress.set_hops(&here.parse().unwrap());
        headers.append(hops::HEADER, HeaderValue::from_static("h_lies"));
        egress.stamp(&mut headers);
        assert_eq!(headers.get_all(hops::HEADER).iter().collect::<Vec<_>>(), [here]);
    }

    #[test]
    fn the_path_that_is_checked_has_no_dot_segments() {
        let to = read("http://a.example/v1/%2e%2e/admin?x=/../y").unwrap();
        assert_eq!(to.path, "/admin");
        assert!(read("http://a.example/v1\\..\\admin").is_err());
    }
}
