//! How many tasks start within a minute.
//!
//! It stores nothing and reads no clock: the moment from which the next start is due is passed in.

/// How many tasks may start a minute, spread evenly over it: what a pause left unused is lost, but for
/// a second's worth, and one start in any case.
///
/// It is the *generic cell rate algorithm* (ITU-T I.371): each start moves the moment at which the
/// next one is due by a minute's share, and may come up to a second before that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// A start's share of a minute, in microseconds.
    share_us: i64,
}

impl Pace {
    /// The most starts a minute that can be said.
    pub const PER_MINUTE_MAX: u32 = 60_000;

    /// How much of a pause is not lost, in microseconds.
    const AHEAD_US: i64 = 1_000_000;

    /// The pace of so many starts a minute, brought into 1 to [`Pace::PER_MINUTE_MAX`].
    pub fn per_minute(starts: u32) -> Self {
        let starts = starts.clamp(1, Self::PER_MINUTE_MAX);
        Self { share_us: 60_000_000 / i64::from(starts) }
    }

    /// How many may start at `now_us`, when the next start is due at `due_us`, in microseconds.
    pub fn allowed(self, due_us: i64, now_us: i64) -> u32 {
        // One that is due may start, and those that are due soon after.
        let ahead = (Self::AHEAD_US - self.share_us).max(0);
        let left = now_us.saturating_add(ahead).saturating_sub(due_us.max(now_us));
        if left < 0 { 0 } else { u32::try_from(left / self.share_us + 1).unwrap_or(u32::MAX) }
    }

    /// When the next start is due after so many at `now_us`.
    pub fn due_after(self, due_us: i64, now_us: i64, starts: u32) -> i64 {
        let shares = self.share_us.saturating_mul(i64::from(starts));
        due_us.max(now_us).saturating_add(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many start in so many seconds, when it is looked every `every_us` and all wait.
    fn starts(per_minute: u32, seconds: i64, every_us: i64) -> u32 {
        let (pace, mut due, mut count) = (Pace::per_minute(per_minute), 0, 0);
        for now in (0..seconds * 1_000_000).step_by(usize::try_from(every_us).unwrap()) {
            let now = now + 1_000_000_000_000;
            let allowed = pace.allowed(due, now);
            due = pace.due_after(due, now, allowed);
            count += allowed;
        }
        count
    }

    #[test]
    fn as_many_start_as_the_pace_says_however_often_it_is_looked() {
        for every_us in [1_000, 100_000, 1_000_000] {
            for per_minute in [1, 7, 60, 600, 6_000] {
                let more = per_minute / 60 + 1;
                let count = starts(per_minute, 60, every_us);
                assert!((per_minute..=per_minute + more).contains(&count), "{per_minute}: {count}");
            }
        }
    }

    #[test]
    fn a_pause_is_lost_but_for_a_second() {
        let pace = Pace::per_minute(600);
        assert_eq!(pace.allowed(0, 1_000_000_000_000), 10);
        assert_eq!(Pace::per_minute(6).allowed(0, 1_000_000_000_000), 1);
        let due = pace.due_after(0, 5_000_000, 10);
        assert_eq!(pace.allowed(due, 5_000_000), 0);
        assert_eq!(pace.allowed(due, 5_100_000), 1);
    }
}
