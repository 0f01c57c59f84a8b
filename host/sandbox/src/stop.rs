//! The handle by which an attempt is ended from outside.
//!
//! A guest that computes cannot be interrupted: it has to look. A [`Stop`] says that it shall end,
//! and ends its time slice at once, so that it looks now and not at the next tick.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use wasmtime::{Engine, EngineWeak};

/// Why an attempt was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled its job.
    Cancelled,
    /// Another attempt has taken its task over.
    LeaseLost,
    /// The host ends.
    HostClosing,
    /// Its time is up.
    Deadline,
}

/// Ends one attempt, wherever its guest is: in a loop, or blocked in a call of the host.
///
/// Clones end the same attempt. What is stopped stays stopped, for the first reason that was given.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    reason: OnceLock<StopReason>,
    told: Notify,
    /// The engine that the guest runs on, once it does.
    engine: OnceLock<EngineWeak>,
}

impl Stop {
    /// A handle of an attempt that may go on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the attempt. Ending it again changes nothing.
    pub fn now(&self, reason: StopReason) {
        let Shared { reason: given, told, engine } = &*self.0;
        if given.set(reason).is_err() {
            return;
        }
        // After the flag: every guest of this engine now looks whether it is the one.
        if let Some(engine) = engine.get().and_then(EngineWeak::upgrade) {
            engine.increment_epoch();
        }
        told.notify_waiters();
    }

    /// Why the attempt was ended. None while it may go on.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().copied()
    }

    /// Done when the attempt is ended.
    pub async fn stopped(&self) -> StopReason {
        loop {
            // Listens before it looks, so that no news falls between the two.
            let told = self.0.told.notified();
            if let Some(reason) = self.reason() {
                return reason;
            }
            told.await;
        }
    }

    /// Names the engine whose time slices it ends. A guest runs on one engine only.
    pub(crate) fn watch(&self, engine: &Engine) {
        self.0.engine.get_or_init(|| engine.weak());
    }

    /// Whether its guest is about to run, or has run.
    #[cfg(test)]
    pub(crate) fn is_watching(&self) -> bool {
        self.0.engine.get().is_some()
    }

    /// Refuses to go on with an attempt that was ended.
    pub(crate) fn check(&self) -> wasmtime::Result<()> {
        self.reason().map_or(Ok(()), |reason| Err(wasmtime::Error::new(Stopped(reason))))
    }
}

/// The trap of a guest that was ended from outside.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the attempt was ended from outside")]
pub(crate) struct Stopped(pub(crate) StopReason);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts_for_every_clone() {
        let stop = Stop::new();
        let clone = stop.clone();
        assert_eq!(clone.reason(), None);
        assert!(clone.check().is_ok());
        stop.now(StopReason::LeaseLost);
        clone.now(StopReason::Cancelled);
        assert_eq!(clone.stopped().await, StopReason::LeaseLost);
        let error = clone.check().unwrap_err();
        assert_eq!(error.downcast_ref::<Stopped>().unwrap().0, StopReason::LeaseLost);
    }
}
