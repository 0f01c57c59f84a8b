//! TLS, done by the host with the system's roots.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The TLS settings of all guests, made when the first of them needs TLS.
#[derive(Default)]
pub(super) struct Tls {
    config: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Tls {
    /// Speaks TLS to `host` over a connection.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = self.config.get_or_init(system_config).clone();
        let config = config.ok_or_else(|| io::Error::other("TLS is not set up on this host"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

#[cfg(test)]
impl Tls {
    /// Trusts these roots, and not the system's.
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        Self { config: config(roots).into() }
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .inspect_err(|error| tracing::error!(%error, "TLS cannot be set up"))
        .ok()?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
