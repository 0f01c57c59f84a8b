//! The jobs that calls wait for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use apflow_model::id::JobId;

/// The jobs that calls of one connection wait for.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<BTreeSet<JobId>>>);

impl Running {
    /// Adds a job for as long as what this returns lives.
    pub(super) fn enter(&self, id: JobId) -> Entered {
        self.change(|jobs| jobs.insert(id));
        Entered { of: self.clone(), id }
    }

    /// Those there are.
    pub(super) fn all(&self) -> Vec<JobId> {
        self.change(|jobs| jobs.iter().copied().collect())
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<JobId>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A job that a call waits for.
pub(super) struct Entered {
    of: Running,
    id: JobId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.of.change(|jobs| jobs.remove(&self.id));
    }
}
