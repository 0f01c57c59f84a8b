//! How long the host keeps what is over.
//!
//! It removes nothing: the engine does, slice by slice.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::clock::Timestamp;
use crate::state::JobState;

/// The longest that can be said: a hundred years.
const DAYS_MAX: u64 = 36_500;
/// The longest that the checkpoints of a completed task can be kept: a year.
const HOURS_MAX: u64 = 8_760;

/// How long the host keeps what is over: `retention` in `config.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How long a completed job is kept from its end. 30 days if not set.
    pub completed_days: Kept,
    /// How long a failed job is kept from its end. 90 days if not set.
    pub failed_days: Kept,
    /// How long a cancelled job is kept from its end. 30 days if not set.
    pub cancelled_days: Kept,
    /// How long an upload is kept since it came or a job last named it. One that an open job names
    /// is kept in any case. 30 days if not set.
    pub uploads_days: Kept,
    /// How long it is kept what a call of a model used and cost, from the call. It outlives its job.
    /// 400 days if not set.
    pub charges_days: Kept,
    /// How long the checkpoints of a completed task are kept from its end, from 0 to 8760 hours.
    /// With 0, which it is if not set, they are dropped with the end itself.
    pub checkpoints_hours: Hours,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            completed_days: Kept::Days(30),
            failed_days: Kept::Days(90),
            cancelled_days: Kept::Days(30),
            uploads_days: Kept::Days(30),
            charges_days: Kept::Days(400),
            checkpoints_hours: Hours(0),
        }
    }
}

impl Retention {
    /// What is kept of jobs that ended like this. For ever, of one that has not ended.
    pub fn of_jobs(&self, state: JobState) -> Kept {
        match state {
            JobState::Completed => self.completed_days,
            JobState::Failed => self.failed_days,
            JobState::Cancelled => self.cancelled_days,
            JobState::Pending | JobState::Running => Kept::Forever,
        }
    }
}

/// How long something is kept: a number of days from 1 to 36500, or `never` for what is never
/// removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// So many days.
    Days(u64),
    /// It is never removed.
    Forever,
}

impl Kept {
    /// The moment before which something must be over to be removed now. None for never.
    pub fn since(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Days(days) => Some(now.before(Duration::from_hours(days.saturating_mul(24)))),
            Self::Forever => None,
        }
    }

    /// When something is removed that was over at `moment`. None for never.
    pub fn until(self, moment: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Days(days) => Some(moment.after(Duration::from_hours(days.saturating_mul(24)))),
            Self::Forever => None,
        }
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeptVisitor)
    }
}

struct KeptVisitor;

impl Visitor<'_> for KeptVisitor {
    type Value = Kept;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a number of days from 1 to {DAYS_MAX}, or `never`")
    }

    fn visit_u64<E: Error>(self, days: u64) -> Result<Kept, E> {
        match days {
            1..=DAYS_MAX => Ok(Kept::Days(days)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(days), &self)),
        }
    }

    fn visit_i64<E: Error>(self, days: i64) -> Result<Kept, E> {
        match u64::try_from(days) {
            Ok(days) => self.visit_u64(days),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(days), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Kept, E> {
        match text {
            "never" => Ok(Kept::Forever),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// A number of hours from 0 to 8760.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Hours(u64);

impl Hours {
    /// As a span of time. None for 0.
    pub fn span(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_hours(self.0))
    }
}

impl TryFrom<u64> for Hours {
    type Error = String;

    fn try_from(hours: u64) -> Result<Self, String> {
        let is_right = hours <= HOURS_MAX;
        is_right.then_some(Self(hours)).ok_or(format!("{hours} is not from 0 to {HOURS_MAX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Retention, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        assert_eq!(read("{}").unwrap(), Retention::default());
        let said = read("{ completed_days: 7, failed_days: never, checkpoints_hours: 2 }").unwrap();
        assert_eq!((said.completed_days, said.failed_days), (Kept::Days(7), Kept::Forever));
        assert_eq!(said.checkpoints_hours.span(), Some(Duration::from_hours(2)));
        assert_eq!(said.cancelled_days, Kept::Days(30));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("{ completed_days: 0 }", "a number of days from 1 to 36500, or `never`"),
            ("{ completed_days: -1 }", "a number of days from 1 to 36500, or `never`"),
            ("{ uploads_days: soon }", "a number of days from 1 to 36500, or `never`"),
            ("{ checkpoints_hours: 9000 }", "9000 is not from 0 to 8760"),
            ("{ days: 1 }", "days"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn only_what_is_over_long_enough_is_removed() {
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let day = Duration::from_hours(24);
        let since = Kept::Days(1).since(now).unwrap();
        assert_eq!((since.after(day), Kept::Forever.since(now)), (now, None));
        assert_eq!((Kept::Days(1).until(since), Kept::Forever.until(now)), (Some(now), None));
        let retention = Retention::default();
        for state in [JobState::Pending, JobState::Running] {
            assert_eq!(retention.of_jobs(state), Kept::Forever);
        }
    }
}
