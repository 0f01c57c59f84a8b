//! Asks a registry for bytes, and whoever it sends to for them.
//!
//! What is shown to one server is shown to no other. Plain HTTP goes nowhere but to this machine, and
//! only for a registry of this machine.

use std::time::Duration;

use axum::http::header::{ACCEPT, AUTHORIZATION, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};

use super::error::RegistryError;
use crate::remote::connect::{Route, Trust};
use crate::remote::error::RemoteError;
use crate::remote::retry;
use crate::remote::settings::GatewaySettings;
use crate::remote::url::ServerUrl;

/// What asks.
const AGENT: &str = concat!("apflow-host/", env!("CARGO_PKG_VERSION"));
/// How often one may be sent elsewhere.
const REDIRECTS_MAX: usize = 5;

/// Asks in the name of one registry.
pub(super) struct Asker<'a> {
    pub(super) registry: &'a ServerUrl,
    pub(super) settings: &'a GatewaySettings,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    server: ServerUrl,
    /// The path with its query.
    target: String,
}

/// What is asked for.
pub(super) struct Wanted<'a> {
    pub(super) address: Address,
    /// What the answer may be.
    pub(super) accept: &'static str,
    /// What is shown to the server of the address.
    pub(super) shown: Option<&'a HeaderValue>,
    /// So much is read.
    pub(super) bytes_max: u64,
}

/// What came.
pub(super) struct Came {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// What was read of it.
    pub(super) bytes: Vec<u8>,
    /// Whether that is all.
    pub(super) is_whole: bool,
}

impl Address {
    pub(super) fn of(server: &ServerUrl, target: String) -> Self {
        Self { server: server.clone(), target }
    }

    /// Reads a URL, which may be a path on the server of another.
    pub(super) fn read(url: &str, from: &ServerUrl) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let target = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let server = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}").parse().ok()?,
            (None, None) if target.starts_with('/') => from.clone(),
            _ => return None,
        };
        Some(Self { server, target })
    }

    /// The same with more fields in its query: `?a=b&c=d`.
    pub(super) fn with(mut self, query: &str) -> Self {
        let has_query = self.target.contains('?');
        self.target += &if has_query { query.replacen('?', "&", 1) } else { query.to_owned() };
        self
    }
}

impl Asker<'_> {
    /// Gets what is wanted, whatever its status, unless that says that another try may do better.
    pub(super) async fn get(&self, wanted: &Wanted<'_>) -> Result<Came, RegistryError> {
        let mut tries = 0;
        loop {
            let error = match self.once(wanted).await {
                Ok(came) => return Ok(came),
                Err(error) => error,
            };
            let wait = retry::wait(error.tried(), true, tries, self.settings.retries);
            let Some(wait) = wait else { return Err(error) };
            tracing::info!(%error, wait_ms = wait.as_millis(), "a registry is asked again");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    /// An error of an address that the registry sends to.
    pub(super) fn misled(&self, to: String, why: &'static str) -> RegistryError {
        RegistryError::Misled { registry: self.registry.to_string(), to, why }
    }

    async fn once(&self, wanted: &Wanted<'_>) -> Result<Came, RegistryError> {
        let mut address = wanted.address.clone();
        for _ in 0..=REDIRECTS_MAX {
            let shown = wanted.shown.filter(|_| address.server == wanted.address.server);
            let answer = self.send(&address, wanted.accept, shown).await?;
            let to = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection());
            let Some(to) = to else { return self.read(answer, &address, wanted.bytes_max).await };
            let read = to.to_str().ok().and_then(|to| Address::read(to, &address.server));
            address = read.ok_or_else(|| self.misled("…".to_owned(), "this is no URL"))?;
        }
        Err(self.misled(address.server.to_string(), "it sends on and on"))
    }

    /// Sends a request, and waits for the head of its answer.
    async fn send(
        &self,
        address: &Address,
        accept: &'static str,
        shown: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let Address { server, target } = address;
        let is_all_here = self.registry.is_here() && server.is_here();
        if !(server.is_tls || is_all_here) {
            let why = "plain HTTP is spoken only with a registry of this machine";
            return Err(self.misled(server.to_string(), why));
        }
        let trust = Trust::Authorities(self.settings.ca_file.as_deref());
        let route = Route::new(server.clone(), &trust, &self.settings.proxies)?;
        let unsendable =
            |what: &str| RemoteError::Settings(format!("{what} cannot stand in a request"));
        let mut request = Request::new(Full::default());
        let uri = route.target(target).parse();
        *request.uri_mut() = uri.map_err(|_| unsendable("the path"))?;
        let headers = request.headers_mut();
        let host = HeaderValue::try_from(server.authority.as_str());
        headers.insert(HOST, host.map_err(|_| unsendable("the name of the server"))?);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(shown) = shown {
            headers.insert(AUTHORIZATION, shown.clone());
        }
        if let Some(shown) = route.proxy_authorization() {
            headers.insert("proxy-authorization", shown.clone());
        }
        let exchange = async {
            let mut sender = route.connect().await?;
            sender.send_request(request).await.map_err(|source| broken(server, source))
        };
        let timeout = self.settings.timeout;
        let answer = tokio::time::timeout(timeout, Box::pin(exchange)).await;
        Ok(answer.map_err(|_| self.timed_out(server))??)
    }

    /// Reads an answer, up to so many bytes.
    async fn read(
        &self,
        answer: Response<Incoming>,
        address: &Address,
        bytes_max: u64,
    ) -> Result<Came, RegistryError> {
        let (head, mut body) = answer.into_parts();
        let is_passing = matches!(head.status.as_u16(), 429 | 500 | 502..=504);
        if is_passing {
            let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|text| text.parse().ok());
            return Err(RegistryError::Foreign {
                registry: address.server.to_string(),
                what: head.status.to_string(),
                status: head.status.as_u16(),
                retry_after: retry_after.map(Duration::from_secs),
            });
        }
        let mut came =
            Came { status: head.status, headers: head.headers, bytes: Vec::new(), is_whole: true };
        loop {
            let frame = tokio::time::timeout(self.settings.timeout, body.frame()).await;
            let Some(frame) = frame.map_err(|_| self.timed_out(&address.server))? else {
                return Ok(came);
            };
            let frame = frame.map_err(|source| broken(&address.server, source))?;
            let bytes: Bytes = frame.into_data().unwrap_or_default();
            let room = usize::try_from(bytes_max).unwrap_or(usize::MAX) - came.bytes.len();
            came.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() > room {
                return Ok(Came { is_whole: false, ..came });
            }
        }
    }

    fn timed_out(&self, server: &ServerUrl) -> RemoteError {
        RemoteError::TimedOut { server: server.to_string(), timeout: self.settings.timeout }
    }
}

fn broken(server: &ServerUrl, source: hyper::Error) -> RemoteError {
    RemoteError::Broken { server: server.to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_path_on_the_same_server() {
        let from: ServerUrl = "https://reg.test".parse().unwrap();
        let read = |url: &str| {
            let address = Address::read(url, &from)?;
            Some(format!("{} {}", address.server, address.target))
        };
        for (url, expected) in [
            ("/v2/a/blobs/x?y=1", "https://reg.test /v2/a/blobs/x?y=1"),
            ("https://cdn.test/x?sig=a%2Fb", "https://cdn.test /x?sig=a%2Fb"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9 /"),
        ] {
            assert_eq!(read(url).as_deref(), Some(expected));
        }
        for wrong in ["", "ftp://cdn.test/x", "https://me:pw@cdn.test/x", "cdn.test:80", "*", "a b"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_query_is_added_to_the_one_that_is_there() {
        let server: ServerUrl = "https://reg.test".parse().unwrap();
        let with = |target: &str| Address::of(&server, target.to_owned()).with("?a=1&b=?").target;
        assert_eq!([with("/t"), with("/t?x=2")], ["/t?a=1&b=?", "/t?x=2&a=1&b=?"]);
    }
}
