//! Places where the process may die: before every statement, and after every commit.
//!
//! Only tests arm them. Without the feature `failpoints` nothing of this is compiled.

#[cfg(feature = "failpoints")]
use std::sync::atomic::{AtomicU64, Ordering};

/// How many places are passed before the one that kills. Zero for never.
#[cfg(feature = "failpoints")]
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Kills this process, as `kill -9` does, at the `places`th place from now, counted from 1.
#[cfg(feature = "failpoints")]
pub fn arm(places: u64) {
    LEFT.store(places, Ordering::SeqCst);
}

/// Passes a place.
#[cfg(feature = "failpoints")]
pub(crate) fn pass() {
    let count = |left: u64| left.checked_sub(1);
    if LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1) {
        let me = rustix::process::getpid();
        // It fails only where there is no such process, and does not return.
        rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap_or_default();
    }
}

/// Passes a place.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn pass() {}
