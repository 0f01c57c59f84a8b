//! Opens connections: the one place of the host where a name is looked up for a guest and a socket
//! is opened.
//!
//! What comes here was admitted by its name already, so a name that nobody granted is never looked
//! up. It neither counts nor speaks: that is the business of who asks.

use std::net::{IpAddr, SocketAddr};
use std::{fmt, io};

use apflow_model::capability::{Denial, Grant, HttpTarget};
use tokio::net::TcpStream;

use super::Egress;
use super::address::is_public;

/// Where a connection goes that was admitted by its name.
#[derive(Clone, Copy)]
pub(super) enum Destination<'a> {
    Http(&'a HttpTarget),
    Tcp(&'a str, u16),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unreached {
    /// The name leads nowhere.
    Unresolved,
    /// It leads only to addresses that are not public, which no grant opens. What would.
    Denied(String),
    /// Nobody answers there.
    Refused(io::Error),
}

/// As its breaker names it.
impl fmt::Display for Destination<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = match self {
            Self::Http(to) => (to.scheme.name(), self.host()),
            Self::Tcp(..) => ("tcp", self.host()),
        };
        let port = self.port();
        if host.contains(':') {
            return write!(formatter, "{scheme}://[{host}]:{port}");
        }
        write!(formatter, "{scheme}://{host}:{port}")
    }
}

impl Destination<'_> {
    fn host(&self) -> &str {
        match self {
            Self::Http(to) => &to.host,
            Self::Tcp(host, _) => host,
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Http(to) => to.port,
            Self::Tcp(_, port) => *port,
        }
    }

    /// Whether a grant of this kind of destination names a host by itself, and not by a `*`.
    fn is_named_by(&self, grant: &Grant, host: &str) -> bool {
        match (self, grant) {
            (Self::Http(to), Grant::Http(granted)) => {
                granted.names(host) && granted.reaches(to.scheme, host, to.port)
            }
            (Self::Tcp(_, port), Grant::Tcp(granted)) => {
                granted.names(host) && granted.matches(host, *port)
            }
            _ => false,
        }
    }
}

impl Egress {
    /// Looks the name up once, and connects to an address that was checked: never to the name again,
    /// which could lead elsewhere by then.
    pub(super) async fn connect(&self, to: Destination<'_>) -> Result<TcpStream, Unreached> {
        let found = self.outside.lookup(to.host(), to.port()).await;
        let reachable = self.reachable(to, &found.map_err(|_| Unreached::Unresolved)?)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the egress: the addresses were checked"
        )]
        let stream = TcpStream::connect(&reachable[..]).await.map_err(Unreached::Refused)?;
        // What is sent is written whole: waiting for more to send would only delay it.
        stream.set_nodelay(true).map_err(Unreached::Refused)?;
        Ok(stream)
    }

    /// Keeps the addresses that may be reached: public ones, and those that a grant opens.
    fn reachable(
        &self,
        to: Destination<'_>,
        found: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Unreached> {
        let mut reachable = Vec::new();
        let mut first_denial = None;
        for address in found {
            match self.admit_address(to, address.ip()) {
                Ok(()) => reachable.push(*address),
                Err(denial) => first_denial = first_denial.or(Some(denial)),
            }
        }
        match first_denial {
            Some(denial) if reachable.is_empty() => Err(Unreached::Denied(self.deny(&denial))),
            None if reachable.is_empty() => Err(Unreached::Unresolved),
            _ => Ok(reachable),
        }
    }

    pub(super) fn admit_address(&self, to: Destination<'_>, address: IpAddr) -> Result<(), Denial> {
        if is_public(address) {
            return Ok(());
        }
        let names = |grant: &Grant, host: &str| to.is_named_by(grant, host);
        self.scope.admit_private(to.host(), address, names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;
    use crate::egress::{Outside, tls::Tls};
    use crate::fixture;

    const ASKS: &str = "capabilities: { tcp: [\"*:*\"] }";
    const NAME: &str = "rebinds.example";

    /// A resolver that answers the first lookup with the first of these, and so on.
    fn resolving(answers: &'static [&'static [&'static str]]) -> (Outside, Arc<AtomicUsize>) {
        let lookups = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&lookups);
        let outside = Outside::new(Tls::default(), move |_, port| {
            let answer = answers[counter.fetch_add(1, Ordering::SeqCst)];
            Ok(answer.iter().map(|text| SocketAddr::new(text.parse().unwrap(), port)).collect())
        });
        (outside, lookups)
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_the_second_time_is_checked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (outside, lookups) = resolving(&[&["127.0.0.1"], &["127.0.0.2"]]);
        let grant = format!("tcp={NAME}:{port}");
        let egress = fixture::egress(ASKS, &[&grant, "net=127.0.0.1"], outside);
        // Once for a connection: what was checked is what is connected to.
        let stream = egress.connect(Destination::Tcp(NAME, port)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.1");
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
        let refused = egress.connect(Destination::Tcp(NAME, port)).await.unwrap_err();
        let Unreached::Denied(text) = refused else { panic!("{refused:?}") };
        assert!(text.contains("--grant net=127.0.0.2"), "{text}");
    }

    #[tokio::test]
    async fn a_name_that_nobody_granted_is_never_looked_up() {
        let (outside, lookups) = resolving(&[]);
        let egress = fixture::egress(ASKS, &["tcp=other.example:25"], outside);
        assert!(egress.dial(NAME, 25).await.is_err());
        assert_eq!(lookups.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn of_all_addresses_of_a_name_only_public_ones_are_left() {
        let egress = fixture::egress(ASKS, &["tcp=*:*"], Outside::default());
        let found = ["10.0.0.1:25", "1.1.1.1:25", "[::1]:25", "[::ffff:127.0.0.1]:25"];
        let found: Vec<SocketAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
        let to = Destination::Tcp(NAME, 25);
        assert_eq!(egress.reachable(to, &found).unwrap(), [found[1]]);
        assert!(matches!(egress.reachable(to, &found[2..]), Err(Unreached::Denied(_))));
        assert!(matches!(egress.reachable(to, &[]), Err(Unreached::Unresolved)));
    }
}
