//! TLS, done by the host with the system's roots, or with whoever answers where a grant says so.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The TLS settings of all guests, made when the first of them needs TLS.
#[derive(Default)]
pub(super) struct Tls {
    config: OnceLock<Option<Arc<ClientConfig>>>,
    insecure: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Tls {
    /// Speaks TLS to `host` over a connection.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        speak(self.config.get_or_init(system_config).clone(), host, stream).await
    }

    /// Speaks TLS to whoever answers for `host`.
    pub(super) async fn connect_insecure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        speak(self.insecure.get_or_init(insecure_config).clone(), host, stream).await
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    config: Option<Arc<ClientConfig>>,
    host: &str,
    stream: S,
) -> io::Result<TlsStream<S>> {
    let config = config.ok_or_else(|| io::Error::other("TLS is not set up on this host"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

/// Answers in TLS, with the certificate of the tests.
#[cfg(test)]
pub(super) async fn accept(
    stream: tokio::net::TcpStream,
) -> io::Result<tokio_rustls::server::TlsStream<tokio::net::TcpStream>> {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;

    const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/certificates/server.pem");
    const KEY: &[u8] = include_bytes!("../../../../tests/certificates/server.key.pem");
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await
}

#[cfg(test)]
impl Tls {
    /// Trusts these roots, and not the system's.
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        Self { config: config(roots).into(), insecure: OnceLock::new() }
    }
}

fn system_config() -> Option<Arc<ClientConfig>> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "a system root certificate was not loaded");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    config(roots)
}

fn config(roots: RootCertStore) -> Option<Arc<ClientConfig>> {
    let builder = builder(Arc::new(default_provider()))?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn insecure_config() -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(default_provider());
    let whoever = Arc::new(Whoever(provider.signature_verification_algorithms));
    let builder = builder(provider)?.dangerous().with_custom_certificate_verifier(whoever);
    Some(Arc::new(builder.with_no_client_auth()))
}

fn builder(provider: Arc<CryptoProvider>) -> Option<ConfigBuilder<ClientConfig, WantsVerifier>> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .inspect_err(|error| tracing::error!(%error, "TLS cannot be set up"))
        .ok()
}

/// Takes every certificate. That the server holds its key is verified, or this would not be TLS.
#[derive(Debug)]
struct Whoever(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
