//! What was used and what it cost: the charges of model calls, added up.
//!
//! It adds nothing up itself: the database does. It says what can be asked for, and what a row stands
//! for.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{JobId, TaskId};
use crate::money::{MicroUsd, Tokens};
use crate::reader::word;

/// The length of a day, in milliseconds. Days are those of UTC, which knows no summer time.
pub const DAY_MS: i64 = 86_400_000;

/// What a report has a row for each of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UsageBy {
    /// A task.
    Task,
    /// A job.
    Job,
    /// Whoever submitted.
    Principal,
    /// An executor. What tools used stands in the row without a key.
    Executor,
    /// A tool. What executors used stands in the row without a key.
    Tool,
    /// The model that was called. Calls that named none stand in the row without a key.
    Model,
    /// A day, in UTC.
    Day,
}

impl UsageBy {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Task,
        Self::Job,
        Self::Principal,
        Self::Executor,
        Self::Tool,
        Self::Model,
        Self::Day,
    ];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Job => "job",
            Self::Principal => "principal",
            Self::Executor => "executor",
            Self::Tool => "tool",
            Self::Model => "model",
            Self::Day => "day",
        }
    }

    /// Reads the key of a row.
    ///
    /// # Errors
    ///
    /// What a key must be here.
    pub fn read_key(self, text: &str) -> Result<UsageKey, String> {
        match self {
            Self::Task => {
                let id = text.parse::<TaskId>().map_err(|error| error.to_string())?;
                Ok(UsageKey::Number(id.0))
            }
            Self::Job => {
                let id = text.parse::<JobId>().map_err(|error| error.to_string())?;
                Ok(UsageKey::Number(id.0))
            }
            Self::Day => {
                let start = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
                let start = start
                    .map_err(|_| format!("`{text}` is no day: expected one like `2026-01-31`"))?;
                Ok(UsageKey::Number(start.as_millisecond().div_euclid(DAY_MS)))
            }
            Self::Principal | Self::Executor | Self::Tool | Self::Model => {
                Ok(UsageKey::Name(text.to_owned()))
            }
        }
    }
}

impl fmt::Display for UsageBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for UsageBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &Self::ALL.map(|by| (by.name(), by)))
    }
}

/// What a report is about, in the words of a caller who knows no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UsageScope {
    /// Each task.
    Task,
    /// Each job.
    Job,
    /// Each principal.
    Principal,
    /// All together.
    Global,
}

impl UsageScope {
    /// What it has a row for each of. None for the total alone.
    pub const fn by(self) -> Option<UsageBy> {
        match self {
            Self::Task => Some(UsageBy::Task),
            Self::Job => Some(UsageBy::Job),
            Self::Principal => Some(UsageBy::Principal),
            Self::Global => None,
        }
    }
}

impl FromStr for UsageScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ALL: [(&str, UsageScope); 4] = [
            ("task", UsageScope::Task),
            ("job", UsageScope::Job),
            ("principal", UsageScope::Principal),
            ("global", UsageScope::Global),
        ];
        word(text, &ALL)
    }
}

/// What a row stands for, as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageKey {
    /// The number of a task or a job, or how many days after 1970-01-01 a day is.
    Number(i64),
    /// A name. Empty for what has none.
    Name(String),
}

impl UsageKey {
    /// As it is shown, and [read](UsageBy::read_key) again. Empty for what has no name.
    pub fn text(&self, by: UsageBy) -> String {
        match (self, by) {
            (Self::Number(id), UsageBy::Task) => TaskId(*id).to_string(),
            (Self::Number(id), UsageBy::Job) => JobId(*id).to_string(),
            (Self::Number(days), _) => {
                let start = Timestamp::from_unix_ms(days.saturating_mul(DAY_MS)).to_string();
                start.split('T').next().unwrap_or_default().to_owned()
            }
            (Self::Name(name), _) => name.clone(),
        }
    }
}

/// Charges, added up. The default is what no charges add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageSums {
    /// How many calls of models there were.
    pub calls: u64,
    /// How many tasks made them.
    pub tasks: u64,
    /// Tokens sent, with those that the provider had in its cache.
    pub tokens_input: Tokens,
    /// Tokens received.
    pub tokens_output: Tokens,
    /// Those of the tokens sent that the provider had in its cache.
    pub tokens_cached: Tokens,
    /// Tokens sent and received.
    pub tokens: Tokens,
    /// What the calls cost that have a price, in millionths of a US dollar. Null when none has one.
    pub micro_usd: Option<MicroUsd>,
    /// How many calls have no price: what they cost is not known, and not in `micro_usd`.
    pub calls_unpriced: u64,
}

impl Default for UsageSums {
    fn default() -> Self {
        Self {
            calls: 0,
            tasks: 0,
            tokens_input: Tokens(0),
            tokens_output: Tokens(0),
            tokens_cached: Tokens(0),
            tokens: Tokens(0),
            micro_usd: Some(MicroUsd(0)),
            calls_unpriced: 0,
        }
    }
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageRow {
    /// What it stands for: an id, a name or a day. Null for what has no name.
    #[schemars(example = &"anthropic/claude-sonnet-4")]
    pub key: Option<String>,
    /// What was used.
    #[serde(flatten)]
    pub sums: UsageSums,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        for (by, key) in [
            (UsageBy::Task, UsageKey::Number(77)),
            (UsageBy::Job, UsageKey::Number(1 << 60)),
            (UsageBy::Day, UsageKey::Number(20_500)),
            (UsageBy::Model, UsageKey::Name("openai/gpt-5".to_owned())),
            (UsageBy::Tool, UsageKey::Name(String::new())),
        ] {
            assert_eq!(by.read_key(&key.text(by)), Ok(key), "{by}");
        }
        assert_eq!(UsageKey::Number(20_484).text(UsageBy::Day), "2026-01-31");
        assert!(UsageBy::Job.read_key("t_0000000000001").is_err());
        assert!(UsageBy::Day.read_key("yesterday").unwrap_err().contains("2026-01-31"));
    }

    #[test]
    fn a_word_that_is_none_is_told_the_others() {
        for by in UsageBy::ALL {
            assert_eq!(by.name().parse(), Ok(by));
        }
        let error = "colour".parse::<UsageBy>().unwrap_err();
        assert!(error.contains("task, job, principal, executor, tool, model, day"), "{error}");
        assert_eq!("global".parse::<UsageScope>().map(UsageScope::by), Ok(None));
    }
}
