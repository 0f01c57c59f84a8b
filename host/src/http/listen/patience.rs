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
        if let Some(since) = self.since.take() {
            self.used += since.elapsed();
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let back = Duration::from_secs(bytes.into()) / self.grace.bytes_per_second;
        self.used = self.used.saturating_sub(back);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, pause, timeout};

    use super::*;

    const GRACE: Grace = Grace { wait_max: Duration::from_secs(30), bytes_per_second: 500 };

    async fn has_patience(patience: &mut Patience, wait: Duration) -> bool {
        timeout(wait, poll_fn(|context| patience.poll_wait(context))).await.is_err()
    }

    #[tokio::test]
    async fn a_byte_now_and_then_does_not_help() {
        pause();
        let mut patience = Patience::new(GRACE);
        for _ in 0..29 {
            assert!(has_patience(&mut patience, Duration::from_secs(1)).await);
            patience.moved(1);
        }
        assert!(!has_patience(&mut patience, Duration::from_secs(2)).await);
    }

    #[tokio::test]
    async fn who_is_steady_is_waited_for() {
        pause();
        let mut patience = Patience::new(GRACE);
        for _ in 0..1_000 {
            assert!(has_patience(&mut patience, Duration::from_secs(2)).await);
            patience.moved(1_000);
        }
    }

    #[tokio::test]
    async fn time_in_which_nobody_waits_does_not_count() {
        pause();
        let mut patience = Patience::new(GRACE);
        assert!(has_patience(&mut patience, Duration::from_secs(29)).await);
        patience.moved(0);
        advance(Duration::from_hours(1)).await;
        assert!(!has_patience(&mut patience, Duration::from_secs(2)).await);
    }
}
