//! Schedules: which job is submitted at which ticks, and what comes of ticks that nobody saw.
//!
//! It submits nothing and reads no clock: the engine does one [`Step`] after another.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::capability::Grant;
use crate::clock::Timestamp;
use crate::cron::Cron;
use crate::id::JobId;
use crate::job::{JobSpec, SpecFault};
use crate::submission;
use crate::tick;
use crate::zone::Zone;

/// The most missed ticks that may be made up for.
pub const MADE_UP_MAX: u32 = 100;

/// How late a tick may be before `missed: skip` counts it as missed.
pub const LATE_MAX: Duration = Duration::from_mins(1);

/// How many ticks one step looks at, which is much less than a second's work.
const TICKS_PER_STEP_MAX: usize = 10_000;

/// A schedule as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of a schedule")]
pub struct ScheduleSpec {
    /// When it ticks.
    pub cron: Cron,
    /// Whose clocks `cron` speaks of.
    #[serde(default)]
    pub time_zone: Zone,
    /// What is submitted at each tick: the fields of one task, or `tasks`. Left out of lists.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(with = "Map<String, Value>")]
    #[schemars(extend("examples" = [{"executor": "rest_executor", "inputs": {"url": "https://example.com"}}]))]
    pub job: Value,
    /// What comes of a tick while a job of an earlier one has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// What comes of ticks that no host saw in time.
    #[serde(default)]
    pub missed: Missed,
    /// No tick before this moment.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// No tick after this moment.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Whether it does not tick for now.
    #[serde(default)]
    pub paused: bool,
}

/// What comes of a tick while a job of an earlier one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Nothing: the tick is counted as skipped.
    #[default]
    Skip,
    /// Another job beside it.
    Allow,
}

impl Overlap {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Allow => "allow",
        }
    }
}

impl FromStr for Overlap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Skip, Self::Allow]
            .into_iter()
            .find(|overlap| overlap.name() == text)
            .ok_or_else(|| format!("`{text}` is not known: expected `skip` or `allow`"))
    }
}

/// What comes of ticks that no host saw in time. Written `skip`, `last` or `all:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("pattern" = "^(skip|last|all:[0-9]+)$", "examples" = ["last"]))]
pub enum Missed {
    /// Nothing. A tick is in time until [`LATE_MAX`] after it, or until the next.
    Skip,
    /// The last of them is made up for, however late.
    #[default]
    Last,
    /// As many of the last are made up for, each by a job. From 1 to [`MADE_UP_MAX`].
    All(u32),
}

impl fmt::Display for Missed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => formatter.write_str("skip"),
            Self::Last => formatter.write_str("last"),
            Self::All(count) => write!(formatter, "all:{count}"),
        }
    }
}

impl FromStr for Missed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.strip_prefix("all:").and_then(|count| count.parse().ok());
        match (text, count) {
            ("skip", _) => Ok(Self::Skip),
            ("last", _) => Ok(Self::Last),
            (_, Some(count)) if (1..=MADE_UP_MAX).contains(&count) => Ok(Self::All(count)),
            _ => Err(format!(
                "`{text}` is not known: expected `skip`, `last`, or `all:N` with N from 1 to \
                 {MADE_UP_MAX}"
            )),
        }
    }
}

impl Serialize for Missed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Missed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A schedule as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Its name, unique on the host.
    #[schemars(example = &"hourly")]
    pub name: String,
    /// Who made it: its jobs are submitted in this name.
    #[schemars(example = &"admin")]
    pub principal: String,
    /// The role that they acted in: it says at each tick which tools its job may run.
    pub role: String,
    /// What it does, and when.
    #[serde(flatten)]
    pub spec: ScheduleSpec,
    /// What the operator allows its jobs alone, beside what their plugins are granted.
    pub grants: Vec<Grant>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its next tick. None while it is paused, and when there is none any more.
    pub next_at: Option<Timestamp>,
    /// The last tick that it dealt with.
    pub last_at: Option<Timestamp>,
    /// The last job that it submitted.
    pub last_job: Option<JobId>,
    /// Why the job of its last tick was refused. None when it was not.
    pub last_fault: Option<TickFault>,
    /// What came of its ticks.
    pub counts: TickCounts,
    /// How often it was written: what was read of an earlier writing is out of date.
    #[serde(skip)]
    pub revision: i64,
}

/// What came of the ticks of a schedule, from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TickCounts {
    /// Jobs submitted, also when somebody triggered one.
    #[schemars(example = 12)]
    pub fired: u64,
    /// Ticks that were skipped, since a job of an earlier one had not ended.
    pub skipped: u64,
    /// Ticks that nobody saw in time, and that were not made up for.
    pub missed: u64,
    /// Ticks whose job was refused.
    pub failed: u64,
}

/// Why the job of a tick was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TickFault {
    /// The tick.
    pub tick: Timestamp,
    /// What was wrong with the job, and where.
    pub message: String,
}

/// What to do now that a schedule is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How many ticks before `tick` are missed for good.
    pub missed: u64,
    /// The tick to submit a job for. None when there is none.
    pub tick: Option<Timestamp>,
    /// The tick that comes next, perhaps due as well.
    pub next_at: Option<Timestamp>,
}

impl ScheduleSpec {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// The first fault, with its place: also the first of its job.
    pub fn parse(value: Value) -> Result<Self, SpecFault> {
        if !value.is_object() {
            return Err(SpecFault::new("", "must be an object: `cron`, `job` and more"));
        }
        let spec: Self = submission::deserialize(value)?;
        if let (Some(starts_at), Some(ends_at)) = (spec.starts_at, spec.ends_at)
            && ends_at < starts_at
        {
            let message = format!("is {ends_at}, which is before `starts_at`, {starts_at}");
            return Err(SpecFault::new("/ends_at", message));
        }
        match JobSpec::parse(spec.job.clone()) {
            Ok(_) => Ok(spec),
            Err(fault) => Err(fault.below("/job")),
        }
    }

    /// The first tick after a moment. None when there is none any more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        // A tick at `starts_at` itself counts.
        let earliest = |starts_at: Timestamp| Timestamp::from_unix_ms(starts_at.unix_ms() - 1);
        let after = self.starts_at.map(earliest).map_or(after, |earliest| after.max(earliest));
        let tick = tick::next_after(&self.cron, &self.time_zone, after)?;
        (self.ends_at.is_none_or(|ends_at| tick <= ends_at)).then_some(tick)
    }

    /// Whether it ticks at the same times as another.
    pub fn has_times_of(&self, other: &Self) -> bool {
        self.cron == other.cron
            && self.time_zone == other.time_zone
            && (self.starts_at, self.ends_at) == (other.starts_at, other.ends_at)
    }

    /// What to do at `now`, when the tick `due` is the first that nothing was done about.
    ///
    /// Of several ticks that are due, all but the last are missed, and so is a last one that is
    /// too late for `missed: skip`.
    pub fn step(&self, due: Timestamp, now: Timestamp) -> Step {
        let kept_max = match self.missed {
            Missed::Skip | Missed::Last => 1,
            Missed::All(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        let (mut kept, mut missed) = (VecDeque::new(), 0);
        let mut next_at = Some(due);
        for _ in 0..TICKS_PER_STEP_MAX {
            let Some(tick) = next_at.filter(|tick| *tick <= now) else { break };
            kept.push_back(tick);
            if kept.len() > kept_max {
                kept.pop_front();
                missed += 1;
            }
            next_at = self.next_after(tick);
        }
        if next_at.is_some_and(|next_at| next_at <= now) {
            // There are more: the next step looks at them, together with what this one kept.
            return Step { missed, tick: None, next_at: kept.front().copied().or(next_at) };
        }
        let tick = kept.pop_front();
        let next_at = kept.front().copied().or(next_at);
        match tick {
            Some(late) if self.missed == Missed::Skip && now.since(late) > LATE_MAX => {
                Step { missed: missed + 1, tick: None, next_at }
            }
            tick => Step { missed, tick, next_at },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
    use serde_json::json;

    use super::*;

    /// Ticks at each full minute.
    fn minutely(more: &Value) -> ScheduleSpec {
        let mut value = json!({"cron": "* * * * *", "job": {"executor": "x"}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ScheduleSpec::parse(value).unwrap()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_unix_ms(minute * 60_000)
    }

    #[track_caller]
    fn refused(value: Value, place: &str, word: &str) {
        let fault = ScheduleSpec::parse(value).unwrap_err();
        assert_eq!(fault.path, place, "{fault}");
        assert!(fault.message.contains(word), "{fault}");
    }

    #[test]
    fn what_is_not_said_is_utc_skip_last() {
        let spec = minutely(&json!({}));
        assert_eq!((spec.time_zone.to_string().as_str(), spec.overlap), ("UTC", Overlap::Skip));
        assert_eq!((spec.missed, spec.paused), (Missed::Last, false));
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        let job = json!({"executor": "x"});
        refused(json!([]), "", "object");
        refused(json!({"job": job}), "", "`cron`");
        refused(json!({"cron": "0 24 * * *", "job": job}), "/cron", "the hour is `24`");
        refused(json!({"cron": "@daily", "time_zone": "Mars", "job": job}), "/time_zone", "IANA");
        refused(json!({"cron": "@daily"}), "/job", "must be an object");
        refused(json!({"cron": "@daily", "job": {"executor": 7}}), "/job/executor", "string");
        refused(json!({"cron": "@daily", "job": job, "missed": "all:0"}), "/missed", "1 to 100");
        refused(json!({"cron": "@daily", "job": job, "overlap": "queue"}), "/overlap", "allow");
        refused(json!({"cron": "@daily", "job": job, "every": 7}), "/every", "unknown field");
        let (from, to) = ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z");
        let value = json!({"cron": "@daily", "job": job, "starts_at": from, "ends_at": to});
        refused(value, "/ends_at", "before `starts_at`");
    }

    #[test]
    fn ticks_are_from_its_start_to_its_end_with_both() {
        let spec = minutely(&json!({"starts_at": at(10), "ends_at": at(11)}));
        assert_eq!(spec.next_after(at(3)), Some(at(10)));
        assert_eq!(spec.next_after(at(10)), Some(at(11)));
        assert_eq!(spec.next_after(at(11)), None);
    }

    #[test]
    fn a_tick_in_time_is_taken_whatever_the_policy() {
        let step = Step { missed: 0, tick: Some(at(5)), next_at: Some(at(6)) };
        for missed in ["skip", "last", "all:3"] {
            assert_eq!(minutely(&json!({"missed": missed})).step(at(5), at(5)), step, "{missed}");
        }
    }

    #[test]
    fn of_ticks_that_nobody_saw_the_policy_says_which_are_made_up_for() {
        let step = |missed: &str| minutely(&json!({"missed": missed})).step(at(1), at(7));
        let step = |missed| {
            let Step { missed, tick, next_at } = step(missed);
            (missed, tick, next_at)
        };
        assert_eq!(step("last"), (6, Some(at(7)), Some(at(8))));
        assert_eq!(step("skip"), (6, Some(at(7)), Some(at(8))));
        assert_eq!(step("all:3"), (4, Some(at(5)), Some(at(6))));
        assert_eq!(step("all:100"), (0, Some(at(1)), Some(at(2))));
    }

    #[test]
    fn a_late_tick_is_skipped_only_where_that_is_said() {
        let hourly = |missed| {
            let value = json!({"cron": "@hourly", "missed": missed, "job": {"executor": "x"}});
            ScheduleSpec::parse(value).unwrap().step(at(60), at(62))
        };
        assert_eq!(hourly("skip"), Step { missed: 1, tick: None, next_at: Some(at(120)) });
        assert_eq!(hourly("last"), Step { missed: 0, tick: Some(at(60)), next_at: Some(at(120)) });
    }

    #[test]
    fn the_last_tick_of_all_leaves_none() {
        let spec = minutely(&json!({"ends_at": at(5)}));
        assert_eq!(spec.step(at(5), at(9)), Step { missed: 0, tick: Some(at(5)), next_at: None });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Steps deal with every due tick once: they take it, in order, or count it as missed.
        #[test]
        fn no_tick_is_lost_or_dealt_with_twice(minutes in 0..25_000_i64, count in 1..=MADE_UP_MAX) {
            for (missed, taken_max) in [(Missed::Last, 1), (Missed::All(count), count)] {
                let spec = ScheduleSpec { missed, ..minutely(&json!({})) };
                let (mut due, mut counted, mut taken) = (at(0), 0, Vec::new());
                while due <= at(minutes) {
                    let step = spec.step(due, at(minutes));
                    counted += step.missed;
                    taken.extend(step.tick);
                    due = step.next_at.unwrap();
                }
                let expected = (minutes + 1).min(taken_max.into());
                prop_assert_eq!(counted, (minutes + 1 - expected).cast_unsigned());
                let last = (minutes + 1 - expected..=minutes).map(at).collect::<Vec<_>>();
                prop_assert_eq!(taken, last);
            }
        }
    }
}
