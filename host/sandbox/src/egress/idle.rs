//! Connections that were answered on and wait for the next request: kept across attempts.
//!
//! A connection serves the plugin that opened it and no other, whatever the destination: what one
//! plugin may have left on it can only meet its own next request. Grants are asked again for every
//! request, and the address that was checked is checked again by who takes it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use apflow_model::capability::Scheme;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::io::TokioIo;

use super::body::Bounded;
use super::wire::Stream;

/// How many connections wait at most, of all plugins and of one to one destination.
const IDLE_MAX: usize = 256;
const IDLE_PER_DESTINATION_MAX: usize = 32;
/// How long a connection waits at most: servers close theirs after some time as well.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a connection is used at most. A name may lead elsewhere by then.
const AGE_MAX: Duration = Duration::from_mins(5);
/// How long an exchange may take to end after the last byte of its answer.
const SETTLED_WITHIN_MAX: Duration = Duration::from_secs(1);
/// How often it is looked for connections that have waited too long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a guest sends.
pub(super) type Outgoing = Request<Bounded<WasiBody>>;

/// What a connection is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) plugin: Arc<str>,
    /// With the host, whom TLS was spoken to and how that was verified.
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// How much of a head its reader holds.
    pub(super) buffer_bytes: usize,
}

/// A connection that speaks HTTP/1. Dropping it closes it.
pub(super) struct Connection {
    sender: http1::SendRequest<Bounded<WasiBody>>,
    driver: JoinHandle<Result<(), hyper::Error>>,
    /// Who answers at the other end.
    pub(super) address: IpAddr,
    since: Instant,
}

impl Connection {
    /// Begins to speak HTTP over a stream.
    pub(super) async fn speak(
        builder: &http1::Builder,
        stream: Box<dyn Stream>,
        address: IpAddr,
    ) -> Result<Self, hyper::Error> {
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: tokio::spawn(connection), address, since: Instant::now() })
    }

    /// Sends a request, and waits for the head of its answer. The error has the request in it when
    /// nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Outgoing,
    ) -> Result<Response<Incoming>, TrySendError<Outgoing>> {
        self.sender.try_send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The connections that wait.
#[derive(Default)]
pub(super) struct Idle(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// In the order in which they came.
    connections: Vec<Kept>,
    is_swept: bool,
}

struct Kept {
    purpose: Purpose,
    connection: Connection,
    since: Instant,
}

impl Kept {
    fn is_usable(&self) -> bool {
        self.since.elapsed() < IDLE_TIME_MAX
            && self.connection.since.elapsed() < AGE_MAX
            && self.connection.sender.is_ready()
    }
}

impl Idle {
    /// Takes the connection for this purpose that waited the shortest, if there is one that waited
    /// no longer than this and fits.
    pub(super) fn take(
        &self,
        purpose: &Purpose,
        waited_max: Duration,
        is_fit: impl Fn(&Connection) -> bool,
    ) -> Option<Connection> {
        let mut waiting = self.waiting();
        waiting.connections.retain(Kept::is_usable);
        let is_taken = |kept: &Kept| {
            kept.purpose == *purpose
                && kept.since.elapsed() <= waited_max
                && is_fit(&kept.connection)
        };
        let place = waiting.connections.iter().rposition(is_taken)?;
        Some(waiting.connections.remove(place).connection)
    }

    /// Keeps a connection whose answer was read to its end, once it is ready for another request.
    pub(super) fn keep(self: &Arc<Self>, purpose: Purpose, mut connection: Connection) {
        let idle = Arc::clone(self);
        tokio::spawn(async move {
            let ready = timeout(SETTLED_WITHIN_MAX, connection.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                idle.put(purpose, connection);
            }
        });
    }

    fn put(self: &Arc<Self>, purpose: Purpose, connection: Connection) {
        let mut waiting = self.waiting();
        let connections = &mut waiting.connections;
        let is_alike = |kept: &&Kept| kept.purpose == purpose;
        if connections.iter().filter(is_alike).count() >= IDLE_PER_DESTINATION_MAX
            && let Some(oldest) = connections.iter().position(|kept| kept.purpose == purpose)
        {
            connections.remove(oldest);
        } else if connections.len() >= IDLE_MAX {
            connections.remove(0);
        }
        connections.push(Kept { purpose, connection, since: Instant::now() });
        if !std::mem::replace(&mut waiting.is_swept, true) {
            tokio::spawn(sweep_while_any_waits(Arc::downgrade(self)));
        }
    }

    /// Closes what has waited too long. True when nothing waits any more.
    fn sweep(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.connections.retain(Kept::is_usable);
        waiting.is_swept = !waiting.connections.is_empty();
        !waiting.is_swept
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep_while_any_waits(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(idle) = idle.upgrade() else { return };
        if idle.sweep() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    async fn connection() -> (Connection, DuplexStream) {
        let (stream, server) = duplex(1024);
        let address = IpAddr::from([127, 0, 0, 1]);
        let builder = http1::Builder::new();
        let mut connection = Connection::speak(&builder, Box::new(stream), address).await.unwrap();
        connection.sender.ready().await.unwrap();
        (connection, server)
    }

    fn purpose(port: u16) -> Purpose {
        let (plugin, host) = ("own".into(), "a.example".to_owned());
        Purpose { plugin, scheme: Scheme::Http, host, port, buffer_bytes: 1 << 14 }
    }

    fn count(idle: &Idle) -> usize {
        idle.waiting().connections.len()
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let (idle, mut servers) = (Arc::new(Idle::default()), Vec::new());
        for port in 1..=20 {
            for _ in 0..=IDLE_PER_DESTINATION_MAX {
                let (connection, server) = connection().await;
                idle.put(purpose(port), connection);
                servers.push(server);
            }
            let alike = purpose(port);
            let waiting = idle.waiting();
            let alike = waiting.connections.iter().filter(|kept| kept.purpose == alike).count();
            assert_eq!(alike, IDLE_PER_DESTINATION_MAX);
        }
        assert_eq!(count(&idle), IDLE_MAX);
    }

    /// Puts one in that is as old as this, and came so long ago.
    async fn put(idle: &Arc<Idle>, age: Duration, waited: Duration) -> DuplexStream {
        let (mut connection, server) = connection().await;
        let ago = |time: Duration| Instant::now().checked_sub(time).unwrap();
        connection.since = ago(age);
        idle.put(purpose(80), connection);
        idle.waiting().connections.last_mut().unwrap().since = ago(waited);
        server
    }

    #[tokio::test]
    async fn what_waited_too_long_is_closed_by_itself() {
        let idle = Arc::new(Idle::default());
        let _young = put(&idle, IDLE_TIME_MAX / 2, IDLE_TIME_MAX / 2).await;
        let _old = put(&idle, IDLE_TIME_MAX, IDLE_TIME_MAX).await;
        assert!(!idle.sweep() && count(&idle) == 1);
        assert!(idle.take(&purpose(80), Duration::from_secs(1), |_| true).is_none());
        assert!(idle.take(&purpose(80), Duration::MAX, |_| false).is_none());
        assert!(idle.take(&purpose(80), Duration::MAX, |_| true).is_some());
        assert!(idle.sweep() && !idle.waiting().is_swept, "it is swept again with the next");
    }

    #[tokio::test]
    async fn a_connection_grows_old_however_busy_it_is() {
        let idle = Arc::new(Idle::default());
        let _server = put(&idle, AGE_MAX, Duration::ZERO).await;
        assert!(idle.take(&purpose(80), Duration::MAX, |_| true).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_its_server_closed_is_not_taken() {
        let idle = Arc::new(Idle::default());
        drop(put(&idle, Duration::ZERO, Duration::ZERO).await);
        while !idle.sweep() {
            tokio::task::yield_now().await;
        }
    }
}
