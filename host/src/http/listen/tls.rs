//! TLS from files, which are read again when they change.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use apflow_model::listener::TlsFiles;
use cap_std::ambient_authority;
use cap_std::fs::File;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio::signal::unix::Signal;
use tokio_rustls::TlsAcceptor;

/// How often to look whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of the certificate has none.
    #[error("`{}` holds no certificate: expected PEM with `-----BEGIN CERTIFICATE-----`", .0.display())]
    NoCertificate(PathBuf),
    /// The file of the key has none.
    #[error("`{}` holds no private key: expected PEM with `-----BEGIN PRIVATE KEY-----`", .0.display())]
    NoKey(PathBuf),
    /// They are not a pair.
    #[error("the key in `{}` is not that of the first certificate in `{}`", key.display(), certificate.display())]
    OtherKey {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// They cannot be used for another reason.
    #[error("the certificate in `{}` cannot be used", path.display())]
    Unusable {
        /// The file of the certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate and its key, as they were last read.
pub(crate) struct Tls {
    files: TlsFiles,
    shown: RwLock<Shown>,
}

#[derive(Clone)]
struct Shown {
    read: Pem,
    settings: Arc<ServerConfig>,
}

/// The bytes of both files.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    ///
    /// When they cannot be shown to a client. One that has expired can, and is logged.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let read = Pem::read(&files)?;
        let settings = read.settings(&files)?;
        Ok(Self { files, shown: RwLock::new(Shown { read, settings }) })
    }

    /// What makes a connection one of TLS.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.shown().settings.into()
    }

    /// Reads the files again whenever they change, and on SIGHUP. A pair that cannot be shown is
    /// logged, and the one before stays. It has no end.
    pub(super) async fn follow(&self, mut hangup: Signal) {
        let mut refused = None;
        loop {
            tokio::select! {
                _ = hangup.recv() => refused = None,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.look_again(&mut refused);
        }
    }

    /// Shows what the files hold now. `refused` is what was refused last, and is not logged twice.
    fn look_again(&self, refused: &mut Option<String>) {
        let shown = self.shown();
        let next = Pem::read(&self.files).and_then(|read| {
            let is_same = read == shown.read;
            let settings = if is_same { shown.settings } else { read.settings(&self.files)? };
            Ok((is_same, Shown { read, settings }))
        });
        match next {
            Ok((true, _)) => *refused = None,
            Ok((false, next)) => {
                *refused = None;
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = next;
                tracing::info!(certificate = %self.files.certificate.display(), "shows a new certificate");
            }
            Err(error) => {
                let error = apflow_api::chain(&error);
                if refused.as_ref() != Some(&error) {
                    tracing::error!(error, "the old certificate stays");
                    *refused = Some(error);
                }
            }
        }
    }

    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pem {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    /// How to show them.
    fn settings(&self, files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
        let no_certificate = || TlsError::NoCertificate(files.certificate.clone());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        let first = chain.first().ok_or_else(no_certificate)?.clone();
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let unusable = |source| {
            let (certificate, key) = (files.certificate.clone(), files.key.clone());
            if matches!(source, rustls::Error::InconsistentKeys(_)) {
                TlsError::OtherKey { certificate, key }
            } else {
                TlsError::Unusable { path: certificate, source }
            }
        };
        let provider = Arc::new(default_provider());
        let mut settings = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        if let Some(trouble) = out_of_time(&first, &provider) {
            let certificate = files.certificate.display();
            tracing::warn!(%certificate, %trouble, "clients will refuse the certificate");
        }
        Ok(Arc::new(settings))
    }
}

/// Opened by its path and not in a folder: what renews certificates puts links there.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// What is wrong with the time of a certificate. Its time is judged before its authority, so no
/// authority is needed to ask.
fn out_of_time(
    certificate: &CertificateDer<'_>,
    provider: &CryptoProvider,
) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = provider.signature_verification_algorithms.all;
    let nobody = RootCertStore::empty();
    let judged = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &nobody,
        &[],
        UnixTime::now(),
        algorithms,
    );
    let Err(rustls::Error::InvalidCertificate(error)) = judged else { return None };
    let is_time = matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    );
    is_time.then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_has_expired_is_known_as_such() {
        let provider = default_provider();
        let trouble =
            |pem: &[u8]| out_of_time(&CertificateDer::from_pem_slice(pem).unwrap(), &provider);
        let expired = trouble(include_bytes!("../../../../tests/certificates/expired.pem"));
        assert!(matches!(expired, Some(CertificateError::ExpiredContext { .. })), "{expired:?}");
        let good = trouble(include_bytes!("../../../../tests/certificates/server.pem"));
        assert_eq!(good, None);
    }
}
