//! Connections that a guest dials by name, in the clear or in TLS.

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
    host: String,
    wire: Wire,
    is_taken: bool,
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
        let host = super::plain_host(host);
        self.scope.admit_tcp(&host, port).map_err(|denial| Undialed::Denied(self.deny(&denial)))?;
        self.count_connection().map_err(Undialed::TooMany)?;
        let connecting = self.connect(Destination::Tcp(&host, port));
        let stream = timeout(self.limits.connect_timeout, connecting)
            .await
            .map_err(|_| Undialed::TimedOut)??;
        let stream = Metered::new(stream, &self.limits, Arc::clone(&self.ledger));
        Ok(Connection::new(host, Box::new(stream)))
    }

    /// Goes on in TLS, for the name that was connected to.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn secure(&self, connection: Connection) -> Result<Connection, Undialed> {
        let Connection { host, wire, .. } = connection;
        let stream = wire.take().ok_or(Undialed::Refused)?;
        let securing = self.outside.tls.connect(&host, stream);
        let secured = timeout(self.limits.connect_timeout, securing)
            .await
            .map_err(|_| Undialed::TimedOut)?
            .map_err(|error| Undialed::Tls(error.to_string()))?;
        Ok(Connection::new(host, Box::new(secured)))
    }

    /// Counts a connection that is admitted, or says how many there may be when there are no more.
    pub(super) fn count_connection(&self) -> Result<(), u64> {
        let most = self.limits.connections;
        let is_counted = self.count(&self.ledger.connections, most, Breach::Connections(most));
        if is_counted { Ok(()) } else { Err(most) }
    }
}

impl Connection {
    fn new(host: String, stream: Box<dyn Stream>) -> Self {
        Self { host, wire: Wire::new(stream), is_taken: false }
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
