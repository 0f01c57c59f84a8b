//! How many writes one commit takes, so that it does not take long.
//!
//! Whoever writes waits for the commit that is being made and for its own. Were all that waits put
//! into one, a backlog would be felt by everybody at once.

use std::time::Duration;

/// How long a commit takes when many wait, nearly: many times as long as the disk does, and not long
/// for who waits.
const COMMIT_TIME: Duration = Duration::from_millis(10);
/// The fewest writes that many who wait are put into a commit by, however long it takes. A smaller
/// commit says nothing of what a write takes: most of its time goes to the disk.
const WRITES_MIN: usize = 32;
/// The most writes in one commit.
pub(crate) const WRITES_MAX: usize = 1_024;

/// What a write takes in a commit of many, as far as was seen.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The mean of the last ones.
    per_write: Duration,
}

impl Pace {
    /// The most writes that the next commit should take.
    pub(crate) fn writes_max(&self) -> usize {
        let fitting = COMMIT_TIME.as_nanos().checked_div(self.per_write.as_nanos());
        fitting.map_or(WRITES_MAX, |fitting| {
            usize::try_from(fitting).unwrap_or(WRITES_MAX).clamp(WRITES_MIN, WRITES_MAX)
        })
    }

    /// Learns from a commit.
    pub(crate) fn learn(&mut self, writes: usize, took: Duration) {
        let Some(each) = u32::try_from(writes).ok().filter(|_| writes >= WRITES_MIN) else {
            return;
        };
        let each = took / each;
        self.per_write =
            if self.per_write.is_zero() { each } else { (self.per_write * 3 + each) / 4 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_takes_as_many_writes_as_fit_into_its_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.writes_max(), WRITES_MAX, "nothing was seen");
        pace.learn(100, Duration::from_millis(10));
        assert_eq!(pace.writes_max(), 100);
        // One among many does not change much.
        pace.learn(100, Duration::from_millis(20));
        assert_eq!(pace.writes_max(), 80);
        for _ in 0..40 {
            pace.learn(100, Duration::from_millis(1));
        }
        assert_eq!(pace.writes_max(), 1_000);
    }

    #[test]
    fn a_slow_disk_and_a_single_write_say_nothing_of_what_many_take() {
        let mut pace = Pace::default();
        pace.learn(WRITES_MIN - 1, Duration::from_secs(1));
        assert_eq!(pace.writes_max(), WRITES_MAX);
        pace.learn(WRITES_MIN, Duration::from_secs(1));
        assert_eq!(pace.writes_max(), WRITES_MIN);
    }
}
