//! Who may be connected to at present.
//!
//! The trait is declared here and implemented by the engine, so that the sandbox knows no breaker
//! and no store. What a guest is granted is checked before.

use std::time::Duration;

use apflow_model::breaker::Outcome;
use apflow_model::clock::Timestamp;

use crate::port::PortFuture;

/// Lets connections through, but not to what keeps failing.
pub trait Gate: Send + Sync {
    /// Asks whether to connect to a destination now, such as `https://api.example.com:443`. An
    /// answer is to be expected `within` this time, or never.
    fn ask<'a>(
        &'a self,
        destination: &'a str,
        within: Duration,
    ) -> PortFuture<'a, Result<Pass, Held>>;

    /// Tells what came of a pass. `why` is what was wrong, for people; empty when nothing was.
    fn report(&self, destination: &str, pass: Pass, outcome: Outcome, why: &str);
}

/// The permission to connect once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// When it was given.
    pub given: Timestamp,
    /// When its place as a probe lapses, if it has one.
    pub probe: Option<Timestamp>,
}

/// The destination is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// How long to wait before asking again.
    pub wait: Duration,
}

/// A gate that is always open.
#[derive(Debug, Clone, Copy)]
pub struct NoGate;

impl Gate for NoGate {
    fn ask<'a>(&'a self, _: &'a str, _: Duration) -> PortFuture<'a, Result<Pass, Held>> {
        let given = Timestamp::from_unix_ms(0);
        Box::pin(std::future::ready(Ok(Pass { given, probe: None })))
    }

    fn report(&self, _: &str, _: Pass, _: Outcome, _: &str) {}
}
