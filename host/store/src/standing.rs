//! The claim that stands at the writer, until there is something to take.
//!
//! It takes part in the commit that makes a task ready, so the task is durable and running at once:
//! there is no commit between what it waited for and its start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apflow_model::clock::Timestamp;
use tokio::sync::Notify;

use crate::write::Queued;

/// What a claim asks for when its turn comes.
pub trait Places: Send + Sync + 'static {
    /// The moment.
    fn now(&self) -> Timestamp;

    /// How many tasks it may take.
    fn free(&self) -> u32;
}

/// A claim that waits at the writer.
pub(crate) struct Standing {
    pub(crate) claim: Box<dyn Queued>,
    pub(crate) places: Arc<dyn Places>,
    /// Whether something may be ready already: it waits for a free place alone then.
    pub(crate) is_eager: bool,
}

impl Standing {
    /// Whether it takes part in the next commit in any case.
    pub(crate) fn is_due(&self, is_forced: bool) -> bool {
        is_forced || self.is_eager && self.places.free() > 0
    }
}

/// What makes the writer look at its standing claim, though nobody writes.
#[derive(Debug, Default)]
pub(crate) struct Rouser {
    pub(crate) bell: Notify,
    is_forced: AtomicBool,
}

impl Rouser {
    /// A place may be free again.
    pub(crate) fn rouse(&self) {
        self.bell.notify_one();
    }

    /// Something may be ready that this process does not know of: a claim shall look for it.
    pub(crate) fn force(&self) {
        self.is_forced.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Whether somebody forced it since this was asked last.
    pub(crate) fn take_force(&self) -> bool {
        self.is_forced.swap(false, Ordering::AcqRel)
    }
}
