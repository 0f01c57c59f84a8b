//! How many tasks may run at once, and how many may wait: what the operator and the caller say.
//!
//! It does not choose what runs: [`crate::fair`] does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most characters of a concurrency key.
const KEY_CHARACTERS_MAX: usize = 128;

/// The most tasks of one key that a caller may let run at once.
const KEY_MAX: u32 = 1_024;

/// The section `concurrency` of `config.yaml`: how many tasks run at once, on all hosts of a
/// database together. What is not named has no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Concurrency {
    /// Of an executor, by its name.
    pub executors: BTreeMap<String, RunningMax>,
    /// Of a principal, by its name.
    pub principals: BTreeMap<String, RunningMax>,
    /// Of every other principal.
    pub principal: Option<RunningMax>,
}

impl Concurrency {
    /// How many tasks of this executor may run at once. None for any number.
    pub fn of_executor(&self, name: &str) -> Option<u32> {
        self.executors.get(name).map(|max| max.0)
    }

    /// How many tasks of this principal may run at once. None for any number.
    pub fn of_principal(&self, name: &str) -> Option<u32> {
        self.principals.get(name).copied().or(self.principal).map(|max| max.0)
    }
}

/// How many tasks may run at once, from 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct RunningMax(pub u32);

impl TryFrom<u32> for RunningMax {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let is_right = (1..=1_000_000).contains(&number);
        is_right.then_some(Self(number)).ok_or(format!("{number} is not from 1 to 1000000"))
    }
}

/// The field `concurrency` of a task: at most `max` tasks of this key run at once, whichever
/// executors they have.
///
/// A key is its principal's own: the same word of another principal is another key. When tasks of
/// one key differ in `max`, the smallest counts of those that are ready or running.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, expecting = "an object with `key` and `max`")]
pub struct ConcurrencyKey {
    /// The key, of 1 to 128 characters.
    #[schemars(length(min = 1, max = KEY_CHARACTERS_MAX))]
    pub key: String,
    /// How many tasks of it run at once at most, from 1 to 1024.
    #[schemars(range(min = 1, max = KEY_MAX))]
    pub max: u32,
}

impl ConcurrencyKey {
    /// Says which field is wrong, and why, if one is.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        let characters = self.key.chars().count();
        if !(1..=KEY_CHARACTERS_MAX).contains(&characters) {
            let message =
                format!("has {characters} characters, but goes from 1 to {KEY_CHARACTERS_MAX}");
            return Some(("key", message));
        }
        if self.key.contains('\0') {
            return Some(("key", "holds a NUL character, which no key may hold".to_owned()));
        }
        if !(1..=KEY_MAX).contains(&self.max) {
            return Some(("max", format!("is {}, but goes from 1 to {KEY_MAX}", self.max)));
        }
        None
    }
}

/// The section `admission` of `config.yaml`: how many tasks may be open, which is to say stored and
/// not ended. A job that would go over is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// Of all principals together.
    pub tasks_open_max: OpenMax,
    /// Of each principal. None for no limit of its own.
    pub tasks_open_max_per_principal: Option<OpenMax>,
}

impl Default for Admission {
    fn default() -> Self {
        Self { tasks_open_max: OpenMax(1_000_000), tasks_open_max_per_principal: None }
    }
}

/// How many tasks may be open, from 1 to 1,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct OpenMax(pub u64);

impl TryFrom<u64> for OpenMax {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        let is_right = (1..=1_000_000_000).contains(&number);
        is_right.then_some(Self(number)).ok_or(format!("{number} is not from 1 to 1000000000"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::job::JobSpec;

    fn limits(value: Value) -> Result<Concurrency, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn a_principal_that_is_named_has_its_own_limit_and_others_the_usual_one() {
        let limits = limits(json!({"principals": {"ada": 3}, "principal": 7})).unwrap();
        assert_eq!((limits.of_principal("ada"), limits.of_principal("bob")), (Some(3), Some(7)));
        assert_eq!(Concurrency::default().of_principal("ada"), None);
    }

    #[test]
    fn a_limit_of_nothing_is_refused_and_so_is_a_word_that_nobody_knows() {
        for value in [
            json!({"executors": {"a": 0}}),
            json!({"principal": 1_000_001}),
            json!({"principals": {"a": "many"}}),
            json!({"executor": {"a": 1}}),
        ] {
            assert!(limits(value.clone()).is_err(), "{value}");
        }
        for value in [json!({"tasks_open_max": 0}), json!({"tasks_open": 3})] {
            assert!(serde_json::from_value::<Admission>(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_key_out_of_range_is_refused_with_its_place() {
        let place = |key: &str, max: u32| {
            let task = json!({"executor": "x", "concurrency": {"key": key, "max": max}});
            JobSpec::parse(task).err().map(|fault| fault.path)
        };
        let longest = "é".repeat(128);
        assert_eq!((place("crm", 1), place(&longest, 1_024)), (None, None));
        let at_key = Some("/concurrency/key".to_owned());
        assert_eq!(
            [place("", 1), place(&"é".repeat(129), 1), place("a\0", 1)],
            [0; 3].map(|_| at_key.clone())
        );
        let at_max = Some("/concurrency/max".to_owned());
        assert_eq!([place("crm", 0), place("crm", 1_025)], [at_max.clone(), at_max]);
    }
}
