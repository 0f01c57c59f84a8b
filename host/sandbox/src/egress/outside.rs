//! What the connections of all guests share: a gate, TLS, connections that wait, and turns at
//! looking up names.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::idle::Idle;
use super::tls::Tls;
use crate::gate::{Gate, NoGate};

/// The most names that are looked up at once. Each holds a thread that the host's own files need as
/// well, and holds it for as long as the name servers are silent.
const LOOKUPS_MAX: usize = 32;

/// Finds the addresses of a name. It may block.
type Resolver = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The way out of all guests.
pub(crate) struct Outside {
    pub(super) tls: Tls,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) idle: Arc<Idle>,
    resolver: Arc<Resolver>,
    lookups: Arc<Semaphore>,
}

impl Default for Outside {
    fn default() -> Self {
        // The names as the system knows them.
        Self::new(Tls::default(), |host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }
}

impl Outside {
    pub(super) fn new(
        tls: Tls,
        resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        let (gate, idle) = (Arc::new(NoGate), Arc::default());
        Self { tls, gate, idle, resolver: Arc::new(resolver), lookups }
    }

    /// The way out through a gate.
    pub(crate) fn through(gate: Arc<dyn Gate>) -> Self {
        Self { gate, ..Self::default() }
    }

    /// Finds the addresses of a host, when it is its turn. An address is its own.
    ///
    /// # Cancel safety
    ///
    /// A lookup that has begun goes on without its future, and keeps its turn until it is done: a
    /// thread that waits for a name server cannot be stopped.
    pub(super) async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let turn = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let (resolver, host) = (Arc::clone(&self.resolver), host.to_owned());
        let looking = tokio::task::spawn_blocking(move || {
            let found = resolver(&host, port);
            drop(turn);
            found
        });
        looking.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_name_waits_for_its_turn_and_an_address_does_not() {
        let outside = Outside::default();
        let turns = u32::try_from(LOOKUPS_MAX).unwrap();
        let _all = outside.lookups.try_acquire_many(turns).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(outside.lookup("localhost", 80)).poll(&mut context).is_pending());
        for address in ["127.0.0.1", "::1"] {
            assert!(pin!(outside.lookup(address, 80)).poll(&mut context).is_ready(), "{address}");
        }
    }

    #[tokio::test]
    async fn a_lookup_gives_its_turn_back() {
        let outside = Outside::default();
        for _ in 0..=LOOKUPS_MAX {
            assert!(!outside.lookup("localhost", 80).await.unwrap().is_empty());
        }
        assert_eq!(outside.lookups.available_permits(), LOOKUPS_MAX);
    }
}
