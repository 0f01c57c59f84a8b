//! The places that are free for attempts of a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apflow_model::clock::Timestamp;
use apflow_store::Places;
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::Engine;

/// The places of one session.
pub(crate) struct FreePlaces {
    engine: Arc<Engine>,
    is_closed: AtomicBool,
    /// Whether tasks may be ready that found no place.
    is_behind: AtomicBool,
}

impl FreePlaces {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let (is_closed, is_behind) = (AtomicBool::new(false), AtomicBool::new(true));
        Self { engine: Arc::clone(engine), is_closed, is_behind }
    }

    /// No place is free from now on.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// A claim handed out all that was ready, or left some of it.
    pub(crate) fn claimed(&self, has_more: bool) {
        self.is_behind.store(has_more, Ordering::Release);
    }

    /// Takes a place for a task that nobody claims. None when others may wait for one: theirs is the
    /// next.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_behind.load(Ordering::Acquire) || self.count() == 0 {
            return None;
        }
        Arc::clone(&self.engine.places).try_acquire_owned().ok()
    }

    /// An attempt that only waits for its end to be stored leaves its place to another, as long as
    /// there are not more of those than places.
    fn count(&self) -> usize {
        if self.is_closed.load(Ordering::Acquire) {
            return 0;
        }
        let unended_max = 2 * self.engine.settings.attempts_max as usize;
        let unended = self.engine.running().len();
        self.engine.places.available_permits().min(unended_max.saturating_sub(unended))
    }
}

impl Places for FreePlaces {
    fn now(&self) -> Timestamp {
        self.engine.now()
    }

    fn free(&self) -> u32 {
        let free = self.count();
        if free == 0 {
            // It is asked when something may be ready.
            self.is_behind.store(true, Ordering::Release);
        }
        u32::try_from(free).unwrap_or(u32::MAX)
    }
}
