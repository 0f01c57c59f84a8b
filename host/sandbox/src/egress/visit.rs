//! Asks the gate before each connection, and tells it what came of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use apflow_model::breaker::Outcome;
use http::StatusCode;
use wasmtime_wasi_http::Error;

use super::connect::{Destination, Unreached};
use super::{Egress, Ledger, Outside, Refusal};
use crate::gate::{Held, Pass};
use crate::stop::{Stop, StopReason};

/// A silence that is shorter says nothing about a server: limits may be set to less than it needs.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// A connection that the gate let through, until it is known what came of it.
pub(super) struct Visit {
    outside: Arc<Outside>,
    ledger: Arc<Ledger>,
    stop: Stop,
    destination: String,
    /// None for a destination that must not be named.
    pass: Option<Pass>,
    began: Instant,
    is_told: bool,
}

impl Egress {
    /// Waits until the guest may do what is seen outside.
    pub(super) async fn reach_out(&self) {
        if let Some(waiting) = self.port.reach_out() {
            waiting.await;
        }
    }

    /// Asks the gate whether to connect. The answer is expected `within` this time.
    pub(super) async fn visit(&self, to: Destination<'_>, within: Duration) -> Result<Visit, Held> {
        let destination = to.to_string();
        let (outside, ledger) = (Arc::clone(&self.outside), Arc::clone(&self.ledger));
        // What the gate is told is kept and shown: a name that holds a secret is not.
        let pass = match self.secrets.find(destination.as_bytes()) {
            Some(_) => None,
            None => Some(self.ask(&destination, within).await?),
        };
        self.ledger.unanswered.fetch_add(1, Ordering::Relaxed);
        let (stop, began) = (self.stop.clone(), Instant::now());
        Ok(Visit { outside, ledger, stop, destination, pass, began, is_told: false })
    }

    async fn ask(&self, destination: &str, within: Duration) -> Result<Pass, Held> {
        let asked = self.outside.gate.ask(destination, within).await;
        asked.inspect_err(|held| {
            self.ledger.refuse(Refusal::Held(destination.to_owned(), held.wait));
            if self.may_tell() {
                self.port.held(destination, held.wait);
            }
        })
    }
}

impl Visit {
    /// The server answered with this status.
    pub(super) fn answered(self, status: StatusCode) {
        if status.is_server_error() {
            return self.report(Outcome::Failure, &format!("answered {}", status.as_u16()));
        }
        self.report(Outcome::Success, "");
    }

    /// A connection was made, which is all that is known of it.
    pub(super) fn connected(self) {
        self.report(Outcome::Success, "");
    }

    /// There was no answer in time.
    pub(super) fn timed_out(self) {
        let outcome = self.of_silence();
        self.report(outcome, "no answer in time");
    }

    /// There is no connection.
    pub(super) fn unreached(self, why: &Unreached) {
        match why {
            Unreached::Refused(error) => {
                self.report(Outcome::Failure, &format!("no connection: {error}"));
            }
            Unreached::Unresolved | Unreached::Denied(_) => self.report(Outcome::Neither, ""),
        }
    }

    /// There is no answer.
    pub(super) fn failed(self, error: &Error) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "`wasmtime` may add errors")]
        let outcome = match error {
            Error::Hyper(error) if error.is_user() => Outcome::Neither,
            Error::Connect(_) | Error::Tls(_) | Error::Hyper(_) => Outcome::Failure,
            Error::ConnectionTimeout | Error::HttpResponseTimeout => self.of_silence(),
            Error::HttpResponseHeaderSectionSize(_) => Outcome::Success,
            // What the guest or its grants did.
            _ => Outcome::Neither,
        };
        self.report(outcome, &error.to_string());
    }

    fn of_silence(&self) -> Outcome {
        let is_long = self.began.elapsed() >= SILENCE_MIN;
        if is_long { Outcome::Failure } else { Outcome::Neither }
    }

    fn report(mut self, outcome: Outcome, why: &str) {
        self.tell(outcome, why);
    }

    fn tell(&mut self, outcome: Outcome, why: &str) {
        self.is_told = true;
        if outcome != Outcome::Failure {
            self.ledger.unanswered.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(pass) = self.pass {
            self.outside.gate.report(&self.destination, pass, outcome, why);
        }
    }
}

/// The guest gave up waiting, or was ended while it waited.
impl Drop for Visit {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let outcome = match self.stop.reason() {
            Some(StopReason::Deadline) => self.of_silence(),
            Some(_) | None => Outcome::Neither,
        };
        self.tell(outcome, "no answer before the time of the task was up");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use apflow_model::clock::Timestamp;
    use http::StatusCode;
    use tokio::net::TcpListener;

    use super::*;
    use crate::fixture;
    use crate::gate::Gate;
    use crate::port::PortFuture;

    const NOW: Timestamp = Timestamp::from_unix_ms(7);

    /// A gate that is open or not, and what it was told.
    #[derive(Default)]
    struct Told {
        wait: Option<Duration>,
        reports: Mutex<Vec<(String, Outcome, String)>>,
    }

    impl Gate for Told {
        fn ask<'a>(&'a self, _: &'a str, _: Duration) -> PortFuture<'a, Result<Pass, Held>> {
            let pass = Pass { given: NOW, probe: None };
            let answer = self.wait.map_or(Ok(pass), |wait| Err(Held { wait }));
            Box::pin(std::future::ready(answer))
        }

        fn report(&self, destination: &str, pass: Pass, outcome: Outcome, why: &str) {
            assert_eq!(pass.given, NOW);
            let report = (destination.to_owned(), outcome, why.to_owned());
            self.reports.lock().unwrap().push(report);
        }
    }

    fn egress(gate: Arc<Told>) -> Egress {
        let outside = Outside::through(gate);
        let asks = "capabilities: { tcp: [\"*:*\"] }";
        fixture::egress(asks, &["tcp=*:*", "net=127.0.0.0/8"], outside)
    }

    async fn visit(egress: &Egress) -> Visit {
        egress.visit(Destination::Tcp("::1", 25), Duration::ZERO).await.unwrap()
    }

    #[tokio::test]
    async fn the_gate_is_told_what_came_of_each_visit() {
        let gate = Arc::<Told>::default();
        let egress = egress(Arc::clone(&gate));
        visit(&egress).await.answered(StatusCode::NOT_FOUND);
        visit(&egress).await.answered(StatusCode::SERVICE_UNAVAILABLE);
        visit(&egress).await.failed(&Error::Connect(io::ErrorKind::ConnectionRefused.into()));
        visit(&egress).await.failed(&Error::HttpRequestBodySize(None));
        // Too soon to say anything.
        visit(&egress).await.failed(&Error::HttpResponseTimeout);
        drop(visit(&egress).await);
        let reports = gate.reports.lock().unwrap();
        let outcomes: Vec<_> = reports.iter().map(|(_, outcome, _)| *outcome).collect();
        let (good, bad, none) = (Outcome::Success, Outcome::Failure, Outcome::Neither);
        assert_eq!(outcomes, [good, bad, bad, none, none, none]);
        assert_eq!(
            (reports[1].0.as_str(), reports[1].2.as_str()),
            ("tcp://[::1]:25", "answered 503")
        );
        assert_eq!(egress.ledger.unanswered.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn silence_counts_once_it_is_long() {
        let gate = Arc::<Told>::default();
        let egress = egress(Arc::clone(&gate));
        let long = async || {
            let mut visit = visit(&egress).await;
            visit.began = Instant::now().checked_sub(SILENCE_MIN).unwrap();
            visit
        };
        long().await.timed_out();
        drop(long().await);
        let waiting = long().await;
        egress.stop.now(StopReason::Deadline);
        drop(waiting);
        let reports = gate.reports.lock().unwrap();
        let outcomes: Vec<_> = reports.iter().map(|(_, outcome, _)| *outcome).collect();
        assert_eq!(outcomes, [Outcome::Failure, Outcome::Neither, Outcome::Failure]);
    }

    #[tokio::test]
    async fn nobody_is_connected_to_who_is_left_alone() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let wait = Duration::from_secs(9);
        let egress = egress(Arc::new(Told { wait: Some(wait), ..Told::default() }));
        let undialed = egress.dial("127.0.0.1", port).await.err().unwrap();
        assert_eq!(undialed, crate::egress::Undialed::Held);
        let Refusal::Held(destination, waits) = egress.ledger.refusal() else {
            panic!("{:?}", egress.ledger.refusal());
        };
        assert_eq!((destination, waits), (format!("tcp://127.0.0.1:{port}"), wait));
        assert!(server.into_std().unwrap().accept().is_err(), "nobody came");
    }

    #[tokio::test]
    async fn a_connection_is_told_to_the_gate() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let gate = Arc::<Told>::default();
        let egress = egress(Arc::clone(&gate));
        egress.dial("127.0.0.1", port).await.ok().unwrap();
        drop(server);
        assert!(egress.dial("127.0.0.1", port).await.is_err());
        let reports = gate.reports.lock().unwrap();
        assert_eq!((reports[0].1, reports[1].1), (Outcome::Success, Outcome::Failure));
    }
}
