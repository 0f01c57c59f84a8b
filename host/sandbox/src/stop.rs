//! The handle by which an attempt is ended from outside.
//!
//! A guest that computes cannot be interrupted: it has to look. A [`Stop`] says that it shall end,
//! and ends its time slice at once, so that it looks now and not at the next tick.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wasmtime::{Engine, EngineWeak};

/// Why an attempt was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled its task, and its grace is over.
    Cancelled,
    /// Another attempt has taken its task over.
    LeaseLost,
    /// The host ends.
    HostClosing,
    /// Its time is up.
    Deadline,
    /// It has used more than its budgets had.
    OverBudget,
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
    /// When somebody cancelled it.
    cancelled: OnceLock<Instant>,
    /// What its guest runs on, once it does.
    guest: OnceLock<Guest>,
}

struct Guest {
    engine: EngineWeak,
    /// How long it may go on once it is cancelled.
    grace: Duration,
}

impl Stop {
    /// A handle of an attempt that may go on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the attempt. Ending it again changes nothing.
    pub fn now(&self, reason: StopReason) {
        let Shared { reason: given, told, guest, .. } = &*self.0;
        if given.set(reason).is_err() {
            return;
        }
        // After the flag: every guest of this engine now looks whether it is the one.
        if let Some(engine) = guest.get().and_then(|guest| guest.engine.upgrade()) {
            engine.increment_epoch();
        }
        told.notify_waiters();
    }

    /// Cancels the attempt: its guest is told, and ended after its grace. Without a grace, or without
    /// a guest that runs, it ends now. Cancelling it again changes nothing.
    pub fn cancel(&self) {
        if self.0.cancelled.set(Instant::now()).is_err() {
            return;
        }
        // A guest that begins after this look sees the flag, and is ended here all the same.
        match self.0.guest.get() {
            Some(Guest { grace, .. }) if !grace.is_zero() => self.0.told.notify_waiters(),
            _ => self.now(StopReason::Cancelled),
        }
    }

    /// Whether somebody cancelled the attempt, which may go on for its grace.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.get().is_some()
    }

    /// Why the attempt was ended. None while it may go on.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().copied()
    }

    /// Done when the attempt is ended. Ends it when its grace is over.
    pub async fn stopped(&self) -> StopReason {
        loop {
            // Listens before it looks, so that no news falls between the two.
            let told = self.0.told.notified();
            if let Some(reason) = self.reason() {
                return reason;
            }
            let Some(end) = self.grace_end() else {
                told.await;
                continue;
            };
            tokio::select! {
                () = told => {}
                () = tokio::time::sleep_until(end.into()) => self.now(StopReason::Cancelled),
            }
        }
    }

    /// When the grace of a cancelled guest is over.
    pub(crate) fn grace_end(&self) -> Option<Instant> {
        let Guest { grace, .. } = self.0.guest.get()?;
        Some(*self.0.cancelled.get()? + *grace)
    }

    /// Names the engine whose time slices it ends, and the grace of the guest. A guest runs on one
    /// engine only.
    pub(crate) fn watch(&self, engine: &Engine, grace: Duration) {
        self.0.guest.get_or_init(|| Guest { engine: engine.weak(), grace });
    }

    /// Whether its guest is about to run, or has run.
    #[cfg(test)]
    pub(crate) fn is_watching(&self) -> bool {
        self.0.guest.get().is_some()
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
    async fn a_cancelled_guest_has_its_grace_and_no_more() {
        let grace = Duration::from_millis(30);
        let stop = Stop::new();
        stop.watch(&Engine::default(), grace);
        let started = Instant::now();
        stop.cancel();
        assert!(stop.is_cancelled() && stop.check().is_ok());
        assert_eq!(stop.stopped().await, StopReason::Cancelled);
        assert!(started.elapsed() >= grace, "{:?}", started.elapsed());
        assert!(stop.check().is_err());
    }

    #[tokio::test]
    async fn who_waits_already_is_told_of_the_grace() {
        let stop = Stop::new();
        stop.watch(&Engine::default(), Duration::from_millis(1));
        let waiting = stop.clone();
        let waiting = tokio::spawn(async move { waiting.stopped().await });
        tokio::task::yield_now().await;
        stop.cancel();
        assert_eq!(waiting.await.unwrap(), StopReason::Cancelled);
    }

    #[test]
    fn without_a_guest_or_a_grace_it_ends_at_once() {
        let early = Stop::new();
        early.cancel();
        assert_eq!(early.reason(), Some(StopReason::Cancelled));
        let stop = Stop::new();
        stop.watch(&Engine::default(), Duration::ZERO);
        stop.cancel();
        assert_eq!(stop.reason(), Some(StopReason::Cancelled));
    }

    #[test]
    fn another_reason_ends_the_grace() {
        let stop = Stop::new();
        stop.watch(&Engine::default(), Duration::from_mins(1));
        stop.cancel();
        stop.now(StopReason::HostClosing);
        assert_eq!(stop.reason(), Some(StopReason::HostClosing));
    }

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
