//! What happens on one connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What happens on one connection, for who serves it and for who looks for an idle one.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Doing>>);

#[derive(Debug, Clone, Copy)]
enum Doing {
    /// Nothing has come of a next request.
    Idle { since: Instant },
    /// The head of a request is coming.
    Head { since: Instant },
    /// A request is answered.
    Busy,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Doing::Idle { since: Instant::now() })))
    }

    /// Bytes have come.
    pub(super) fn receives(&self) {
        let mut doing = self.lock();
        if matches!(*doing, Doing::Idle { .. }) {
            *doing = Doing::Head { since: Instant::now() };
        }
    }

    /// A whole head has come.
    pub(super) fn begins(&self) -> Answering {
        *self.lock() = Doing::Busy;
        Answering { of: Some(self.clone()) }
    }

    /// Since when the head of a request is coming.
    pub(super) fn head_since(&self) -> Option<Instant> {
        if let Doing::Head { since } = *self.lock() { Some(since) } else { None }
    }

    /// Since when no request is answered. None while one is.
    pub(super) fn free_since(&self) -> Option<Instant> {
        match *self.lock() {
            Doing::Idle { since } | Doing::Head { since } => Some(since),
            Doing::Busy => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is answered until this is dropped.
pub(super) struct Answering {
    of: Option<Activity>,
}

impl Answering {
    /// The connection speaks another protocol from now on, so it has no requests any more.
    pub(super) fn for_ever(mut self) {
        self.of = None;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(activity) = &self.of {
            *activity.lock() = Doing::Idle { since: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_free_but_while_it_answers() {
        let activity = Activity::new();
        assert!(activity.free_since().is_some() && activity.head_since().is_none());
        activity.receives();
        assert_eq!(activity.free_since(), activity.head_since());
        let answering = activity.begins();
        activity.receives();
        assert!(activity.free_since().is_none() && activity.head_since().is_none());
        drop(answering);
        assert!(activity.free_since().is_some() && activity.head_since().is_none());
        activity.begins().for_ever();
        assert!(activity.free_since().is_none());
    }
}
