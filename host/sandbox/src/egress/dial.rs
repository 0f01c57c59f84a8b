//! Connections that a guest dials by name, in the clear or in TLS.

use std::net::Ipv6Addr;
use std::sync::Arc;

use apflow_model::limit::Breach;
use tokio::time::timeout;
use wasmtime_wasi::p2::pipe::{AsyncReadStream, AsyncWriteStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::Egress;
use super::connect::{Destination, Unreached};
use super::wire::{Metered, Stream, Wire};

/// The most bytes of one connection that wait to be sent.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// A connection that a guest holds. Dropping it, and the streams taken from it, closes it.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Connection {
    to: Peer,
    wire: Wire,
    /// Whether its streams were taken since it was made or secured.
    pub(super) is_taken: bool,
}

/// Who is on the other side of a connection, and how it is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// In lower case, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether it is this machine.
    pub(super) is_loopback: bool,
    pub(super) is_secured: bool,
    /// Whether something was said before, in the clear or by the host.
    pub(super) has_begun: bool,
}

/// Why there is no connection, or none in TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undialed {
    /// It is not granted. What would allow it.
    Denied(String),
    /// The name leads nowhere.
    Unresolved,
    /// Nobody answers there.
    Refused,
    /// It is left alone for a while.
    Held,
    /// It took too long.
    TimedOut,
    /// The server is not trusted, or does not speak TLS.
    Tls(String),
    /// As many as there may be were opened.
    TooMany(u64),
}

impl Egress {
    /// Opens a connection to a host that is granted, by name or address.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<Connection, Undialed> {
        let address = host.parse::<Ipv6Addr>().map(|address| address.to_string());
        let host = address.ok().or_else(|| super::host(host)).ok_or(Undialed::Unresolved)?;
        self.scope.admit_tcp(&host, port).map_err(|denial| Undialed::Denied(self.deny(&denial)))?;
        self.count_connection().map_err(Undialed::TooMany)?;
        self.reach_out().await;
        let (to, within) = (Destination::Tcp(&host, port), self.limits.connect_timeout);
        let asked = timeout(within, self.visit(to, within)).await;
        let visit = asked.map_err(|_| Undialed::TimedOut)?.map_err(|_| Undialed::Held)?;
        let stream = match timeout(within, self.connect(to)).await {
            Ok(Ok(stream)) => {
                visit.connected();
                stream
            }
            Ok(Err(unreached)) => {
                visit.unreached(&unreached);
                return Err(unreached.into());
            }
            Err(_) => {
                visit.timed_out();
                return Err(Undialed::TimedOut);
            }
        };
        let is_loopback =
            stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        let stream = Metered::new(stream, &self.limits, Arc::clone(&self.ledger));
        let to = Peer { host, port, is_loopback, is_secured: false, has_begun: false };
        Ok(Connection::new(to, Box::new(stream)))
    }

    /// Goes on in TLS, for the name that was connected to.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn secure(&self, connection: Connection) -> Result<Connection, Undialed> {
        let (to, stream) = connection.into_parts().ok_or(Undialed::Refused)?;
        let securing = self.outside.tls.connect(&to.host, stream);
        let secured = timeout(self.limits.connect_timeout, securing)
            .await
            .map_err(|_| Undialed::TimedOut)?
            .map_err(|error| Undialed::Tls(error.to_string()))?;
        Ok(Connection::new(Peer { is_secured: true, ..to }, Box::new(secured)))
    }

    /// Counts a connection that is admitted, or says how many there may be when there are no more.
    pub(super) fn count_connection(&self) -> Result<(), u64> {
        let most = self.limits.connections;
        let is_counted = self.count(&self.ledger.connections, most, Breach::Connections(most));
        if is_counted { Ok(()) } else { Err(most) }
    }
}

impl Connection {
    pub(super) fn new(to: Peer, stream: Box<dyn Stream>) -> Self {
        Self { to, wire: Wire::new(stream), is_taken: false }
    }

    /// Takes the stream away from all who share it. None when it was taken before.
    pub(super) fn into_parts(self) -> Option<(Peer, Box<dyn Stream>)> {
        let has_begun = self.to.has_begun || self.is_taken;
        Some((Peer { has_begun, ..self.to }, self.wire.take()?))
    }

    /// The two ways through it, once.
    pub(crate) fn streams(&mut self) -> Option<(DynInputStream, DynOutputStream)> {
        if std::mem::replace(&mut self.is_taken, true) {
            return None;
        }
        let input = AsyncReadStream::new(self.wire.clone());
        let output = AsyncWriteStream::new(UNSENT_BYTES_MAX, self.wire.clone());
        Some((Box::new(input), Box::new(output)))
    }
}

impl From<Unreached> for Undialed {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Unresolved => Self::Unresolved,
            Unreached::Denied(text) => Self::Denied(text),
            Unreached::Refused(_) => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rustls::RootCertStore;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::egress::Outside;
    use crate::egress::tls::{self, Tls};
    use crate::fixture;

    const AUTHORITY: &[u8] = include_bytes!("../../../../tests/certificates/authority.pem");

    /// An egress for which every name leads to this server, and this authority is trusted.
    fn egress(server: &TcpListener, authority: Option<&[u8]>) -> (Egress, u16) {
        let address = server.local_addr().unwrap();
        let mut roots = RootCertStore::empty();
        if let Some(pem) = authority {
            roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        }
        let outside = Outside::new(Tls::trusting(roots), move |_, port| {
            Ok(vec![SocketAddr::new(address.ip(), port)])
        });
        let asks = "capabilities: { tcp: [\"*:*\"] }";
        (fixture::egress(asks, &["tcp=*:*", "net=127.0.0.0/8"], outside), address.port())
    }

    async fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    #[tokio::test]
    async fn clear_words_go_on_in_tls_without_what_was_slipped_in_before() {
        let server = listen().await;
        let (egress, port) = egress(&server, Some(AUTHORITY));
        let serving = async {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(b"go ahead\nslipped in").await.unwrap();
            let mut secured = tls::accept(stream).await.unwrap();
            let mut said = [0; 5];
            secured.read_exact(&mut said).await.unwrap();
            secured.write_all(b"bye").await.unwrap();
            secured.flush().await.unwrap();
            said
        };
        let calling = async {
            let mut connection = egress.dial("mail.example", port).await.unwrap();
            let (mut input, output) = connection.streams().unwrap();
            assert!(connection.streams().is_none());
            assert_eq!(&input.blocking_read(9).await.unwrap()[..], b"go ahead\n");
            drop((input, output));
            let mut secured = egress.secure(connection).await.unwrap();
            let (mut input, mut output) = secured.streams().unwrap();
            output.blocking_write_and_flush("hello".into()).await.unwrap();
            input.blocking_read(64).await.unwrap()
        };
        let (said, answer) = tokio::join!(serving, calling);
        assert_eq!((&said, &answer[..]), (b"hello", &b"bye"[..]));
    }

    #[tokio::test]
    async fn a_server_that_nobody_vouches_for_is_refused() {
        for (name, authority, text) in [
            ("mail.example", None, "UnknownIssuer"),
            ("other.example", Some(AUTHORITY), "not valid for name"),
        ] {
            let server = listen().await;
            let (egress, port) = egress(&server, authority);
            let serving = async {
                let (stream, _) = server.accept().await.unwrap();
                tls::accept(stream).await
            };
            let calling = async {
                let connection = egress.dial(name, port).await.unwrap();
                egress.secure(connection).await.err().unwrap()
            };
            let (_, refused) = tokio::join!(serving, calling);
            let Undialed::Tls(reason) = refused else { panic!("{refused:?}") };
            assert!(reason.contains(text), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_dropped_connection_is_closed() {
        let server = listen().await;
        let (egress, port) = egress(&server, None);
        let mut connection = egress.dial("mail.example", port).await.unwrap();
        let (mut stream, _) = server.accept().await.unwrap();
        let streams = connection.streams();
        drop((streams, connection));
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_name_that_is_looked_up_for_too_long_is_given_up() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let outside = Outside::new(Tls::default(), move |_, _| {
            wait.lock().unwrap().recv().unwrap_err();
            Ok(Vec::new())
        });
        let asks = "capabilities: { tcp: [\"*:*\"] }\nlimits: { connect_timeout: 1ms }";
        let egress = fixture::egress(asks, &["tcp=*:*"], outside);
        assert_eq!(egress.dial("slow.example", 25).await.err(), Some(Undialed::TimedOut));
        drop(release);
    }
}
