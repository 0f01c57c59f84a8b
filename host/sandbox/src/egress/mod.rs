//! The only way out: every request of every guest is checked and counted here.
//!
//! The name is resolved once, the addresses are checked, and the connection goes to exactly an
//! address that was checked. The host follows no redirect: a guest that does sends a new request.

mod address;
mod body;
mod outside;
mod send;
mod tls;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use address::is_public;
use apflow_model::capability::{Grant, HttpPattern, Scheme};
use apflow_model::limit::Breach;
use http::Request;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::plan::Plan;
use crate::port::TaskPort;
use crate::stop::Stop;

pub(crate) use outside::Outside;

/// The egress of one attempt.
pub(crate) struct Egress {
    plan: Arc<Plan>,
    grants: Arc<[Grant]>,
    port: Arc<dyn TaskPort>,
    outside: Arc<Outside>,
    stop: Stop,
    pub(crate) ledger: Arc<Ledger>,
}

/// What an attempt sent, received and was refused.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) requests: AtomicU64,
    pub(crate) body_bytes: AtomicU64,
    denials: AtomicU64,
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
}

impl Ledger {
    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuse(&self, refusal: Refusal) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

/// The most denials of one attempt that are told.
const DENIALS_MAX: u64 = 16;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Destination {
    scheme: Scheme,
    /// Lower case, without brackets and without a final dot.
    host: String,
    port: u16,
}

impl Destination {
    fn of(uri: &http::Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        Ok(Self { scheme, host, port: authority.port_u16().unwrap_or(scheme.port()) })
    }

    fn pattern(&self) -> HttpPattern {
        HttpPattern::exactly(self.scheme, &self.host, self.port)
    }
}

impl Egress {
    pub(crate) fn new(
        plan: Arc<Plan>,
        grants: Arc<[Grant]>,
        port: Arc<dyn TaskPort>,
        outside: Arc<Outside>,
        stop: Stop,
    ) -> Self {
        Self { plan, grants, port, outside, stop, ledger: Arc::default() }
    }

    /// Notes that the guest was refused something.
    pub(crate) fn deny(&self, message: &str) {
        self.ledger.refuse(Refusal::Denied(message.to_owned()));
        if self.ledger.denials.fetch_add(1, Ordering::Relaxed) < DENIALS_MAX {
            self.port.denied(message);
        }
    }

    /// Whether the destination was asked for and granted.
    ///
    /// # Errors
    ///
    /// The sentence that tells the operator what to grant.
    fn admit(&self, to: &Destination) -> Result<(), String> {
        let wanted = to.pattern();
        let matches = |pattern: &&HttpPattern| pattern.matches(to.scheme, &to.host, to.port);
        if !self.plan.asked.http.iter().any(|pattern| matches(&pattern)) {
            return Err(format!(
                "a request to {wanted} was refused: the plugin.yaml of `{}` does not ask for it \
                 under `capabilities.http`",
                self.plan.name
            ));
        }
        if self.granted().any(|pattern| matches(&pattern)) {
            return Ok(());
        }
        Err(format!("a request to {wanted} was refused: allow it with `--grant http={wanted}`"))
    }

    /// Whether a destination that is admitted may be reached at this address: it is public, or a
    /// grant names it. `localhost` is a name for loopback addresses.
    fn admits_address(&self, to: &Destination, address: IpAddr) -> bool {
        let literal = address.to_canonical().to_string();
        let names = |host: &str| {
            self.granted()
                .any(|granted| granted.names(host) && granted.matches(to.scheme, host, to.port))
        };
        is_public(address)
            || names(&literal)
            || (to.host == "localhost" && address.is_loopback() && names("localhost"))
    }

    fn granted(&self) -> impl Iterator<Item = &HttpPattern> {
        self.grants.iter().filter_map(|grant| match grant {
            Grant::Http(pattern) => Some(pattern),
            Grant::FsIn(_) | Grant::Env(_) => None,
        })
    }

    /// Counts a request that is admitted, or refuses it when there were too many.
    fn count_request(&self) -> Result<(), Error> {
        let most = self.plan.limits.http_requests;
        let count = |sent: u64| (sent < most).then_some(sent + 1);
        let counted =
            self.ledger.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let is_counted = counted.is_ok();
        // A guest that goes on to something it may do has got over what it was refused.
        self.ledger.refuse(if is_counted {
            Refusal::None
        } else {
            Refusal::Breach(Breach::HttpRequests(most))
        });
        if is_counted { Ok(()) } else { Err(Error::ConnectionLimitReached) }
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send>;

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        if self.stop.reason().is_some() {
            return Box::new(async { Err(Error::ConnectionTerminated) });
        }
        let to = match Destination::of(request.uri()) {
            Ok(to) => to,
            Err(error) => return Box::new(async { Err(error) }),
        };
        if let Err(denial) = self.admit(&to) {
            self.deny(&denial);
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        if let Err(error) = self.count_request() {
            return Box::new(async { Err(error) });
        }
        let egress = Self {
            plan: Arc::clone(&self.plan),
            grants: Arc::clone(&self.grants),
            port: Arc::clone(&self.port),
            outside: Arc::clone(&self.outside),
            stop: self.stop.clone(),
            ledger: Arc::clone(&self.ledger),
        };
        Box::new(send::send(egress, to, request, options.unwrap_or_default()))
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

    #[test]
    fn a_destination_is_read_without_tricks() {
        let of = |uri: &str| Destination::of(&uri.parse().unwrap());
        let to = of("http://API.Example.com./x").unwrap();
        assert_eq!((to.host.as_str(), to.port), ("api.example.com", 80));
        let to = of("https://[::1]:8443/").unwrap();
        assert_eq!((to.host.as_str(), to.port), ("::1", 8443));
        assert!(of("http://allowed@evil.example/").is_err());
        assert!(of("/only/a/path").is_err());
    }
}
