//! Calls of the last minute, counted in memory: each process counts for itself.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use apflow_model::rate::{Standing, TooMany, Windows, Wish};

/// What was done within the last minute.
pub(crate) struct Rates {
    windows: Mutex<Windows>,
    start: Instant,
}

impl Default for Rates {
    fn default() -> Self {
        Self { windows: Mutex::default(), start: Instant::now() }
    }
}

impl Rates {
    /// Counts calls, unless one of them is too many.
    pub(crate) fn take(&self, wishes: &[Wish]) -> Result<Vec<Standing>, TooMany> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.take(wishes, self.start.elapsed())
    }
}
