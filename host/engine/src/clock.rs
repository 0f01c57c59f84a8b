//! The time of day: the system's, or that of the database's server, so that all hosts agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use apflow_model::clock::{Clock, Timestamp};

/// Tells the system's time of day.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that is kept in step with another: the one that all hosts of a database share.
pub(crate) struct SharedClock {
    own: Arc<dyn Clock>,
    /// How far the shared clock is ahead of the own, in milliseconds.
    ahead_ms: AtomicI64,
}

impl SharedClock {
    /// A clock that goes like `own`, until it is told of a difference.
    pub(crate) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead_ms: AtomicI64::new(0) }
    }

    /// Asks what time it is, and keeps in step with the answer. None changes nothing.
    pub(crate) async fn follow<E>(
        &self,
        ask: impl Future<Output = Result<Option<Timestamp>, E>>,
    ) -> Result<(), E> {
        let asked = self.own.now();
        if let Some(told) = ask.await? {
            let known = self.ahead_ms.load(Ordering::Relaxed);
            let ahead = corrected(known, asked, told, self.own.now());
            self.ahead_ms.store(ahead, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        let own = self.own.now().unix_ms();
        Timestamp::from_unix_ms(own.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }
}

/// How far the other clock is ahead, after it told its time between two moments of the own clock.
///
/// It was read somewhere between the two, so the truth is within half of that span around the
/// middle. What was known stays while it may be true: only what is known to be wrong is corrected,
/// and time never goes back by more than that.
fn corrected(known_ms: i64, asked: Timestamp, told: Timestamp, answered: Timestamp) -> i64 {
    let half = answered.unix_ms().saturating_sub(asked.unix_ms()).max(0) / 2;
    let middle = asked.unix_ms().saturating_add(half);
    let ahead = told.unix_ms().saturating_sub(middle);
    let is_known_wrong = ahead.saturating_sub(known_ms).saturating_abs() > half + 1;
    if is_known_wrong { ahead } else { known_ms }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    struct Still(i64);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            at(self.0)
        }
    }

    fn told(ms: Option<i64>) -> Ready<Result<Option<Timestamp>, Infallible>> {
        ready(Ok(ms.map(at)))
    }

    #[tokio::test]
    async fn two_hosts_with_different_clocks_tell_the_same_time() {
        for own in [0, 1_000, 60_000] {
            let clock = SharedClock::new(Arc::new(Still(own)));
            clock.follow(told(None)).await.unwrap();
            assert_eq!(clock.now(), at(own), "nobody told it otherwise");
            clock.follow(told(Some(5_000))).await.unwrap();
            assert_eq!(clock.now(), at(5_000));
        }
    }

    #[test]
    fn half_of_the_round_trip_is_the_way_back() {
        assert_eq!(corrected(0, at(1_000), at(9_050), at(1_100)), 8_000);
    }

    #[test]
    fn a_slow_answer_does_not_shake_what_is_known() {
        // The answer may be from anywhere within two seconds.
        assert_eq!(corrected(8_000, at(1_000), at(9_900), at(3_000)), 8_000);
        assert_eq!(corrected(8_000, at(1_000), at(12_000), at(3_000)), 10_000);
    }
}
