//! Whether and how long the attempt may go on, by the virtual clock.

use super::installed;

pub(crate) fn is_cancelled() -> bool {
    let script = installed();
    let state = script.state();
    state.cancelled_at.is_some_and(|at| at <= state.now)
}

pub(crate) fn deadline() -> u64 {
    let script = installed();
    let state = script.state();
    u64::try_from(state.deadline.saturating_sub(state.now).as_millis()).unwrap_or(u64::MAX)
}
