//! The import `control`: whether and how long the attempt may go on.

use std::time::Instant;

use wasmtime::Result;

use crate::bindings::apflow::plugin::{control, types};
use crate::state::State;

impl control::Host for State {
    /// True within the grace. After it the attempt is ended, and does not come back from here.
    fn is_cancelled(&mut self) -> Result<bool> {
        self.stop.check()?;
        Ok(self.stop.is_cancelled())
    }

    fn deadline(&mut self) -> Result<u64> {
        self.stop.check()?;
        let end = self.stop.grace_end().map_or(self.deadline, |end| end.min(self.deadline));
        let left = end.saturating_duration_since(Instant::now());
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

impl types::Host for State {}
