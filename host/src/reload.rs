//! Settings that are taken anew while the host runs: on `SIGHUP`, and when a part says that its file
//! has changed.
//!
//! Each part is read as a whole and refused as a whole: what it had before goes on then.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use apflow_api::SystemClock;
use apflow_model::clock::{Clock, Timestamp};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// How often to ask parts whether their files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A part of the host that can take its settings anew.
pub(crate) trait Reload: Send + Sync {
    /// What people know it by: its file.
    fn name(&self) -> &'static str;

    /// Reads its settings and takes them, all or none.
    ///
    /// # Errors
    ///
    /// Why they are refused. It holds no value of a setting: it is logged.
    fn reload(&self) -> Result<(), String>;

    /// Whether there are other settings than it last read, taken or refused. One that never says so
    /// is reloaded on `SIGHUP` alone.
    fn has_changed(&self) -> bool {
        false
    }
}

/// What became of the last settings of a part.
#[derive(Debug, Clone, Serialize)]
struct Outcome {
    status: &'static str,
    at: Timestamp,
}

/// Every part that can take its settings anew.
#[derive(Default)]
pub(crate) struct Reloads {
    parts: Vec<Box<dyn Reload>>,
    outcomes: Mutex<BTreeMap<&'static str, Outcome>>,
}

impl Reloads {
    pub(crate) fn new(parts: Vec<Box<dyn Reload>>) -> Self {
        let at = SystemClock.now();
        let names = parts.iter().map(|part| part.name());
        let outcomes = names.map(|name| (name, Outcome { status: "ok", at })).collect();
        let outcomes = Mutex::new(outcomes);
        Self { parts, outcomes }
    }

    /// Reloads parts whenever they should be, and does not return unless the signal cannot be heard.
    ///
    /// # Errors
    ///
    /// Why it cannot be heard.
    pub(crate) async fn run(&self) -> io::Result<Infallible> {
        let mut asked = signal(SignalKind::hangup())?;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                _ = asked.recv() => true,
                _ = look.tick() => false,
            };
            for part in &self.parts {
                if is_asked || part.has_changed() {
                    self.reload(part.as_ref());
                }
            }
        }
    }

    fn reload(&self, part: &dyn Reload) {
        let name = part.name();
        let status = match part.reload() {
            Ok(()) => {
                tracing::info!(file = name, "reloaded");
                "ok"
            }
            Err(reason) => {
                tracing::error!(file = name, reason, "refused: what held before goes on");
                "refused"
            }
        };
        let outcome = Outcome { status, at: SystemClock.now() };
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(name, outcome);
    }

    /// What became of the last settings of each part, by its name. Why some were refused is in the
    /// log alone: it may say where the operator keeps what.
    pub(crate) fn outcomes(&self) -> impl Serialize + use<> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Part(AtomicBool);

    impl Reload for Part {
        fn name(&self) -> &'static str {
            "part.yaml"
        }

        fn reload(&self) -> Result<(), String> {
            let is_well = self.0.load(Ordering::Relaxed);
            is_well.then_some(()).ok_or_else(|| "line 1: no".to_owned())
        }
    }

    #[test]
    fn what_was_refused_is_shown_until_it_is_taken() {
        let reloads = Reloads::new(vec![Box::new(Part(AtomicBool::new(false)))]);
        let status = || {
            let outcomes = serde_json::to_value(reloads.outcomes()).unwrap();
            outcomes["part.yaml"]["status"].as_str().unwrap().to_owned()
        };
        assert_eq!(status(), "ok");
        reloads.reload(reloads.parts[0].as_ref());
        assert_eq!(status(), "refused");
        let part = Part(AtomicBool::new(true));
        reloads.reload(&part);
        assert_eq!(status(), "ok");
    }
}
