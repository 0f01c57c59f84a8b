//! The import `control`: whether and how long the attempt may go on.

use std::time::Instant;

use wasmtime::Result;

use crate::bindings::apflow::plugin::{control, types};
use crate::state::State;

impl control::Host for State {
    fn is_cancelled(&mut self) -> Result<bool> {
        Ok(self.port.is_cancelled())
    }

    fn deadline(&mut self) -> Result<u64> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

impl types::Host for State {}
