//! Waits for the virtual clock.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::state::Sleeper;
use super::{find, installed};

/// Moves the clock to the next moment that somebody waits for, and wakes who does.
pub(crate) fn sleep_until_something_is_ready() {
    let wakers = find().map(|script| script.state().advance()).unwrap_or_default();
    assert!(!wakers.is_empty(), "the executor waits for something that cannot happen");
    for waker in wakers {
        waker.wake();
    }
}

/// Waits for `wait` to pass.
pub(crate) async fn sleep(wait: Duration) {
    let script = installed();
    let due = script.state().now.saturating_add(wait);
    poll_fn(|context| {
        let mut state = script.state();
        if state.now >= due {
            return Poll::Ready(());
        }
        state.sleepers.push(Sleeper { due, waker: context.waker().clone() });
        Poll::Pending
    })
    .await;
}
