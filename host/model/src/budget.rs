//! Budgets: hard caps on what tasks, jobs and principals spend.
//!
//! It keeps none: the store does. What happens before a cap is met, `cost_policy` says.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The largest cap: 10^15 tokens, or a milliard dollars.
pub const CAP_MAX: u64 = 1_000_000_000_000_000;

macro_rules! words {
    ($name:ident, $what:literal, { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|word| word.name() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|word| word.name()).collect();
                    format!("`{text}` is no {}: expected one of {}", $what, known.join(", "))
                })
            }
        }
    };
}

/// Whose budget it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// All attempts of one task share it.
    Task,
    /// All tasks of one job share it.
    Job,
    /// All jobs of one principal share it.
    Principal,
}

words!(BudgetScope, "scope of a budget", { Task = "task", Job = "job", Principal = "principal" });

/// What is counted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BudgetUnit {
    /// Model tokens, sent and received.
    Tokens,
    /// Millionths of a US dollar.
    MicroUsd,
}

words!(BudgetUnit, "unit of a budget", { Tokens = "tokens", MicroUsd = "micro_usd" });

/// How long a budget lasts, before it begins anew with nothing spent. The calendar is UTC's.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// It does not begin anew.
    #[default]
    All,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first of a month to its last.
    Month,
}

words!(Period, "period of a budget", { All = "all", Day = "day", Week = "week", Month = "month" });

impl Period {
    /// The beginning and the end of the period that `now` is in: the end is the beginning of the
    /// next. None for [`Period::All`], and for moments that no calendar holds.
    pub fn around(self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let moment = jiff::Timestamp::from_millisecond(now.unix_ms()).ok()?;
        let today = moment.to_zoned(TimeZone::UTC).date();
        let (first, span) = match self {
            Self::All => return None,
            Self::Day => (today, 1.day()),
            Self::Week => {
                let since_monday = i64::from(today.weekday().to_monday_zero_offset());
                (today.checked_sub(since_monday.days()).ok()?, 1.week())
            }
            Self::Month => (today.first_of_month(), 1.month()),
        };
        Some((midnight(first)?, midnight(first.checked_add(span).ok()?)?))
    }
}

fn midnight(date: Date) -> Option<Timestamp> {
    let midnight: Zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp::from_unix_ms(midnight.timestamp().as_millisecond()))
}

/// A cap on what somebody spends, and how much of it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Whose it is.
    pub scope: BudgetScope,
    /// The id of the task or job, or the name of the principal.
    #[schemars(example = &"ada")]
    pub owner: String,
    /// What is counted.
    pub unit: BudgetUnit,
    /// How long it lasts.
    pub period: Period,
    /// Since when it counts: the beginning of the period, or when it was set.
    pub started_at: Timestamp,
    /// When it begins anew. None when it does not.
    pub ends_at: Option<Timestamp>,
    /// The most that may be spent, in its unit.
    #[schemars(example = 1_000_000)]
    pub cap: u64,
    /// What is set aside for calls that go on.
    pub reserved: u64,
    /// What calls used.
    pub spent: u64,
    /// What a host may have spent that ended without saying so. It counts as spent.
    #[serde(default)]
    pub lost: u64,
    /// How much more than the cap is gone, since a call used more than was set aside for it, or the
    /// cap was lowered.
    #[serde(default)]
    pub overrun: u64,
    /// The cost policy that says what happens on the way to the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

impl Budget {
    /// What is gone for good: spent or lost.
    pub const fn gone(&self) -> u64 {
        self.spent.saturating_add(self.lost)
    }

    /// What is neither gone nor set aside.
    pub const fn left(&self) -> u64 {
        self.cap.saturating_sub(self.gone().saturating_add(self.reserved))
    }

    /// Whether a task may wait for it: it begins anew, its cap may be raised, or a call that goes on
    /// may give something back.
    pub fn may_come_back(&self) -> bool {
        self.scope == BudgetScope::Principal || self.reserved > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        serde_json::from_value(serde_json::json!(text)).unwrap()
    }

    fn around(period: Period, now: &str) -> (String, String) {
        let (start, end) = period.around(moment(now)).unwrap();
        (start.to_string(), end.to_string())
    }

    #[test]
    fn a_period_is_one_of_the_calendar_of_utc() {
        let midnight = |day: &str| format!("{day}T00:00:00.000Z");
        let both = |start, end| (midnight(start), midnight(end));
        let now = "2026-01-31T23:59:59.999Z";
        assert_eq!(around(Period::Day, now), both("2026-01-31", "2026-02-01"));
        assert_eq!(around(Period::Week, now), both("2026-01-26", "2026-02-02"));
        assert_eq!(around(Period::Month, now), both("2026-01-01", "2026-02-01"));
        // A Monday, and the end of the one before.
        let monday = "2026-02-02T00:00:00Z";
        assert_eq!(around(Period::Week, monday), both("2026-02-02", "2026-02-09"));
        assert_eq!(Period::All.around(moment(now)), None);
    }

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for scope in BudgetScope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(serde_json::json!(scope), scope.name());
        }
        for unit in BudgetUnit::ALL {
            assert_eq!(serde_json::json!(unit), unit.name());
        }
        for period in Period::ALL {
            assert_eq!(serde_json::json!(period), period.name());
        }
        let error = "year".parse::<Period>().unwrap_err();
        assert_eq!(error, "`year` is no period of a budget: expected one of all, day, week, month");
    }

    #[test]
    fn what_is_reserved_or_lost_is_not_left() {
        let budget = Budget {
            scope: BudgetScope::Job,
            owner: "j_1".to_owned(),
            unit: BudgetUnit::Tokens,
            period: Period::All,
            started_at: Timestamp::from_unix_ms(0),
            ends_at: None,
            cap: 100,
            reserved: 20,
            spent: 30,
            lost: 5,
            overrun: 0,
            policy: None,
        };
        assert_eq!((budget.gone(), budget.left()), (35, 45));
        assert_eq!(Budget { spent: 200, overrun: 125, ..budget }.left(), 0);
    }
}
