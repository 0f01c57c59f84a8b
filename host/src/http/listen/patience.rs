//! How long a client may keep the host waiting.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// What the host grants to one client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grace {
    /// How long it may keep the host waiting, beyond what its bytes give back.
    pub(super) wait_max: Duration,
    /// How many bytes give a second back. Not zero.
    pub(super) bytes_per_second: u32,
}

impl Grace {
    /// What is used up of the patience once a client was waited for so long, and moved so many bytes.
    fn used(self, before: Duration, waited: Duration, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let back = Duration::from_secs(bytes.into()) / self.bytes_per_second;
        (before + waited).saturating_sub(back)
    }
}

/// What is left of the patience with one client.
///
/// Waiting uses it up, and bytes that move give it back. So a client that moves a byte now and then
/// is cut off, and one that is slow but steady is not.
pub(super) struct Patience {
    grace: Grace,
    /// What is used up, without the wait that goes on.
    used: Duration,
    /// Since when the client is waited for.
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) fn new(grace: Grace) -> Self {
        Self { grace, used: Duration::ZERO, since: None, alarm: None }
    }

    /// Waits for the client. Ready when there is no patience left.
    pub(super) fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.grace.wait_max.saturating_sub(self.used);
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(now + left),
                None => self.alarm = Some(Box::pin(sleep_until(now + left))),
            }
        }
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// The client is not waited for any more: it moved so many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        let waited = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.used = self.grace.used(self.used, waited, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Grace = Grace { wait_max: Duration::from_secs(30), bytes_per_second: 500 };

    /// What is used up after this wait and so many bytes have come again and again.
    fn used(times: u32, waited_ms: u64, bytes: usize) -> Duration {
        let waited = Duration::from_millis(waited_ms);
        (0..times).fold(Duration::ZERO, |used, _| GRACE.used(used, waited, bytes))
    }

    #[test]
    fn a_byte_now_and_then_does_not_help() {
        assert!(used(29, 1_000, 1) < GRACE.wait_max);
        assert!(used(31, 1_000, 1) > GRACE.wait_max);
        assert!(used(10, 10_000, 1_500) > GRACE.wait_max);
    }

    #[test]
    fn who_is_steady_is_waited_for() {
        assert_eq!(used(1_000, 2_000, 1_000), Duration::ZERO);
        assert_eq!(used(1_000, 20_000, 10_000), Duration::ZERO);
    }

    #[test]
    fn nobody_gathers_patience_beforehand() {
        let fast = GRACE.used(Duration::ZERO, Duration::ZERO, usize::MAX);
        assert_eq!(GRACE.used(fast, GRACE.wait_max, 0), GRACE.wait_max);
    }
}
