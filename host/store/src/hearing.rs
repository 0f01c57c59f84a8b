//! What one process hears of the others, and signs its own words with.
//!
//! It does not listen: `hints` does.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Once};

use tokio::sync::watch;

/// What one process has heard.
#[derive(Debug)]
pub(crate) struct Hearing {
    /// What this process signs its own hints with, to leave them out.
    pub(crate) own: String,
    /// How often something was heard.
    count: watch::Sender<u64>,
    listening: Once,
}

impl Hearing {
    pub(crate) fn new() -> Arc<Self> {
        // The keys of `RandomState` are random: two processes do not share a name.
        let own = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Arc::new(Self { own, count: watch::Sender::new(0), listening: Once::new() })
    }

    /// Begins to listen, unless somebody has.
    pub(crate) fn once(&self, listen: impl FnOnce()) {
        self.listening.call_once(listen);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Tells whoever subscribed that something was heard.
    pub(crate) fn tell(&self) {
        self.count.send_modify(|count| *count = count.wrapping_add(1));
    }
}
