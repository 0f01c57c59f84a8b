//! The way to a server: by itself or through a proxy, in plain text or with TLS.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use apflow_model::proxies::Proxies;
use axum::http::{HeaderValue, Method, Request, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cap_std::ambient_authority;
use cap_std::fs::File;
use http_body_util::{Empty, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::RemoteError;
use super::url::ServerUrl;

/// The largest file of certificates that is read, in bytes.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// How the certificate of a server is judged.
pub(super) enum Trust<'a> {
    /// By the authorities of the system, and by those of this file.
    Authorities(Option<&'a Path>),
    /// It must be the first of this file, whatever names it has.
    Exactly(&'a Path),
}

/// The way to a server.
pub(super) struct Route {
    server: ServerUrl,
    /// None for plain HTTP.
    tls: Option<TlsConnector>,
    /// The proxy, and what it is shown.
    proxy: Option<(ServerUrl, Option<HeaderValue>)>,
}

impl Route {
    pub(super) fn new(
        server: ServerUrl,
        trust: &Trust<'_>,
        proxies: &Proxies,
    ) -> Result<Self, RemoteError> {
        let tls = server.is_tls.then(|| tls(trust)).transpose()?;
        let proxy = proxies.find(&server.host, server.is_tls).map(proxy).transpose()?;
        Ok(Self { server, tls, proxy })
    }

    /// The URL of the server.
    pub(super) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Where a request goes: a path, or all of the URL for a proxy that passes it on.
    pub(super) fn target(&self, path: &str) -> String {
        let path = format!("{}{path}", self.server.path);
        match (&self.proxy, &self.tls) {
            (Some(_), None) => format!("http://{}{path}", self.server.authority),
            _ => path,
        }
    }

    /// What a proxy that passes requests on is shown with each.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        let (_, shown) = self.proxy.as_ref().filter(|_| self.tls.is_none())?;
        shown.as_ref()
    }

    /// Opens a connection for one request.
    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, RemoteError> {
        let first = self.proxy.as_ref().map_or(&self.server, |(proxy, _)| proxy);
        let unreached = |source| RemoteError::CannotConnect { server: first.to_string(), source };
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator names the server, and no guest has a say in what goes there"
        )]
        let stream = TcpStream::connect((first.host.as_str(), first.port)).await;
        let stream = stream.map_err(unreached)?;
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else { return handshake(stream).await.map_err(unreached) };
        let name = ServerName::try_from(self.server.host.clone());
        let name = name.map_err(|error| unreached(io::Error::other(error)))?;
        let untrusted = |source: io::Error| self.of_handshake(source);
        match &self.proxy {
            None => {
                let stream = tls.connect(name, stream).await.map_err(untrusted)?;
                handshake(stream).await.map_err(unreached)
            }
            Some((_, shown)) => {
                let tunnel = self.tunnel(stream, shown.as_ref()).await.map_err(unreached)?;
                let stream = tls.connect(name, tunnel).await.map_err(untrusted)?;
                handshake(stream).await.map_err(unreached)
            }
        }
    }

    /// What a TLS handshake failed of: of the certificate, or of the connection.
    fn of_handshake(&self, source: io::Error) -> RemoteError {
        let server = self.server.to_string();
        let is_of_tls =
            source.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()).is_some();
        if is_of_tls {
            RemoteError::Untrusted { server, source }
        } else {
            RemoteError::CannotConnect { server, source }
        }
    }

    /// Has a proxy open a connection to the server: RFC 9110, section 9.3.6.
    async fn tunnel(
        &self,
        stream: TcpStream,
        shown: Option<&HeaderValue>,
    ) -> io::Result<TokioIo<hyper::upgrade::Upgraded>> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        let place = format!("{}:{}", bracketed(&self.server.host), self.server.port);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = place.parse::<Uri>().map_err(io::Error::other)?;
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::try_from(place).map_err(io::Error::other)?);
        if let Some(shown) = shown {
            headers.insert("proxy-authorization", shown.clone());
        }
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if !answer.status().is_success() {
            return Err(io::Error::other(format!("the proxy answers {}", answer.status())));
        }
        hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(io::Error::other)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Begins to speak HTTP.
async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> io::Result<SendRequest<Full<Bytes>>> {
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(io::Error::other)?;
    // What goes wrong with it is an error of the request as well.
    tokio::spawn(connection);
    Ok(sender)
}

/// Reads where a proxy is and what it is shown: `http://USER:PASSWORD@HOST:PORT`.
fn proxy(url: &str) -> Result<(ServerUrl, Option<HeaderValue>), RemoteError> {
    let fault = |_| {
        RemoteError::Settings(
            "the variables of the environment name a proxy that is none: expected \
             `http://HOST:PORT` in `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`"
                .to_owned(),
        )
    };
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let (scheme, rest) = with_scheme.split_once("://").unwrap_or_default();
    let (user, place) =
        rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let server: ServerUrl = format!("{scheme}://{place}").parse().map_err(fault)?;
    if server.is_tls {
        return Err(fault(String::new()));
    }
    let shown = user.map(|user| {
        let mut shown =
            HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(unescaped(user))))?;
        shown.set_sensitive(true);
        Ok::<_, axum::http::header::InvalidHeaderValue>(shown)
    });
    Ok((server, shown.transpose().map_err(|error| fault(error.to_string()))?))
}

/// A text of a URL without its escapes.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if byte.is_some() { &after[2..] } else { after };
        bytes.push(byte.unwrap_or(*first));
    }
    bytes
}

fn tls(trust: &Trust<'_>) -> Result<TlsConnector, RemoteError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| RemoteError::Settings(error.to_string()))?;
    let config = match trust {
        Trust::Authorities(file) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if let Some(file) = file {
                roots.add_parsable_certificates(certificates(file)?);
            }
            config.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Exactly(file) => {
            let certificate = certificates(file)?.swap_remove(0);
            let pinned = Arc::new(Pinned { certificate, provider });
            config.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth()
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Reads the certificates of a PEM file, of which there is at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RemoteError> {
    let fault = |why: String| {
        let file = path.display();
        RemoteError::Settings(format!("`{file}` holds no certificates that can be used: {why}"))
    };
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|file| file.take(CERTIFICATES_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| fault(error.to_string()))?;
    let read = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err(fault("expected PEM with `-----BEGIN CERTIFICATE-----`".to_owned())),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// Trusts one certificate, which the operator of the server has on this machine, and its key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_may_want_a_password() {
        let (server, shown) = proxy("http://me:p%40ss@proxy.test:3128").unwrap();
        assert_eq!(server.to_string(), "http://proxy.test:3128");
        // `me:p@ss`
        assert_eq!(shown.unwrap(), "Basic bWU6cEBzcw==");
        let (server, shown) = proxy("proxy.test:3128").unwrap();
        assert_eq!((server.to_string().as_str(), shown), ("http://proxy.test:3128", None));
        for wrong in ["https://proxy.test", "socks5://proxy.test:1080", "http://"] {
            assert!(proxy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_proxy_is_told_the_whole_address_unless_it_opens_a_tunnel() {
        let variables = [("ALL_PROXY".to_owned(), "http://proxy.test:1".to_owned())];
        let proxies = Proxies::of(&variables.into_iter().collect());
        let target = |url: &str| {
            let route = Route::new(url.parse().unwrap(), &Trust::Authorities(None), &proxies);
            route.unwrap().target("/api/v1/jobs?limit=1")
        };
        assert_eq!(target("http://a.test/base"), "http://a.test/base/api/v1/jobs?limit=1");
        assert_eq!(target("https://a.test"), "/api/v1/jobs?limit=1");
        assert_eq!(target("http://localhost:1"), "/api/v1/jobs?limit=1");
    }
}
