//! A collector, and one request to it. Each has a connection of its own: there is one a second.

use std::io;
use std::sync::Arc;

use apflow_model::telemetry::Destination;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Scheme;
use axum::http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectorFault {
    /// The endpoint is no URL.
    #[error("`{0}` is no endpoint: expected `http://HOST:PORT` or `https://HOST`")]
    Endpoint(String),
    /// A header is none.
    #[error("`{0}` cannot be a header, or cannot have that value")]
    Header(String),
    /// It cannot be reached.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    /// It ends the connection.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It does not take what is sent.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// It does not answer.
    #[error("it does not answer")]
    Silent,
}

impl CollectorFault {
    /// Whether the same request may be taken later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Http(_) | Self::Silent => true,
            Self::Refused(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Endpoint(_) | Self::Header(_) => false,
        }
    }
}

/// Who takes spans or metrics.
pub(crate) struct Collector {
    host: String,
    port: u16,
    path: String,
    headers: HeaderMap,
    /// None for plain HTTP.
    tls: Option<TlsConnector>,
}

impl Collector {
    pub(crate) fn new(to: &Destination) -> Result<Self, CollectorFault> {
        let fault = || CollectorFault::Endpoint(to.endpoint.clone());
        let uri: Uri = to.endpoint.parse().map_err(|_| fault())?;
        let host = uri.host().ok_or_else(fault)?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(fault()),
        };
        let authority = uri.authority().ok_or_else(fault)?;
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(authority.as_str()).map_err(|_| fault())?;
        headers.insert(HOST, value);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &to.headers.0 {
            let fault = || CollectorFault::Header(name.clone());
            let key = HeaderName::try_from(name.as_str()).map_err(|_| fault())?;
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| fault())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Self {
            // An address of version 6 stands in brackets in a URL, and nowhere else.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: path(&uri, to.path),
            headers,
            tls: is_tls.then(tls).transpose()?,
        })
    }

    /// Sends a body.
    pub(super) async fn post(&self, body: String) -> Result<(), CollectorFault> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator names the collector, and no guest has a say in what goes there"
        )]
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            None => self.exchange(stream, body).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                self.exchange(tls.connect(name, stream).await?, body).await
            }
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        body: String,
    ) -> Result<(), CollectorFault> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = axum::http::Method::POST;
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        request.headers_mut().extend(self.headers.clone());
        // What it says in its body is not read: its status says enough.
        let answer = tokio::select! {
            answer = sender.send_request(request) => answer?,
            // It works until the answer is there; that it ends first is an error of the request.
            Err(error) = connection => return Err(error.into()),
        };
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(CollectorFault::Refused(status)) }
    }
}

/// The path below an endpoint. Without one, the endpoint is what is asked as it stands.
fn path(endpoint: &Uri, below: &str) -> String {
    if below.is_empty() {
        return endpoint.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    }
    format!("{}{below}", endpoint.path().trim_end_matches('/'))
}

/// TLS with the roots of the system.
fn tls() -> Result<TlsConnector, CollectorFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use apflow_model::telemetry::OtlpHeaders;

    use super::*;

    fn at(endpoint: &str, path: &'static str) -> Result<Collector, CollectorFault> {
        let (endpoint, headers) = (endpoint.to_owned(), OtlpHeaders::default());
        Collector::new(&Destination { said_by: "a test", endpoint, path, headers })
    }

    fn collector(endpoint: &str) -> Result<Collector, CollectorFault> {
        at(endpoint, "/v1/traces")
    }

    #[test]
    fn an_endpoint_is_a_url_of_http() {
        let plain = collector("http://127.0.0.1:4318/").unwrap();
        assert_eq!((&*plain.host, plain.port, &*plain.path), ("127.0.0.1", 4318, "/v1/traces"));
        let six = collector("http://[::1]:4318/otel").unwrap();
        assert_eq!((&*six.host, &*six.path), ("::1", "/otel/v1/traces"));
        let tls = collector("https://collector.example").unwrap();
        assert!(tls.tls.is_some() && tls.port == 443);
        for wrong in ["", "127.0.0.1:4318", "grpc://here:4317", "/v1/traces"] {
            assert!(matches!(collector(wrong), Err(CollectorFault::Endpoint(_))), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_of_its_own_is_asked_as_it_stands() {
        for (endpoint, path) in
            [("http://m", "/"), ("http://m/", "/"), ("http://m/otlp/?key=1", "/otlp/?key=1")]
        {
            assert_eq!(at(endpoint, "").unwrap().path, path);
        }
    }
}
