//! The looks that were taken last at the health of tools: whoever asks often costs little.
//!
//! It looks at nothing itself.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::tool::health::ToolHealth;

/// The looks that were taken last, by tool.
#[derive(Default)]
pub(crate) struct Looks(Mutex<HashMap<String, Look>>);

/// A look at a tool as it was installed then.
pub(crate) struct Look {
    pub(crate) loaded_at: Timestamp,
    pub(crate) health: ToolHealth,
}

impl Looks {
    /// The look at a tool that is still good.
    pub(crate) fn find(
        &self,
        tool: &str,
        loaded_at: Timestamp,
        now: Timestamp,
        good_for: Duration,
    ) -> Option<ToolHealth> {
        let looks = self.lock();
        let look = looks.get(tool).filter(|look| look.loaded_at == loaded_at)?;
        (look.health.checked_at.after(good_for) > now).then(|| look.health.clone())
    }

    /// Keeps a look, and forgets those that are good no more.
    pub(crate) fn keep(&self, look: Look, good_for: Duration) {
        let mut looks = self.lock();
        let now = look.health.checked_at;
        looks.retain(|_, other| other.health.checked_at.after(good_for) > now);
        looks.insert(look.health.tool.clone(), look);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
