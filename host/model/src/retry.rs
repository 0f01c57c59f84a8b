//! Whether and when a failed task is tried again.
//!
//! It does not wait and draws no random numbers: both are passed in or left to the caller.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// The longest wait a caller may ask for: one day.
const WAIT_SECONDS_MAX: f64 = 86_400.0;

/// The longest wait an executor may ask for: one day.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// How the wait grows from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Always the base.
    Fixed,
    /// The base times the number of the retry.
    Linear,
    /// Drawn evenly from zero to the base doubled with every retry: the "full jitter" of Brooker,
    /// *Exponential Backoff and Jitter* (AWS Architecture Blog, 2015). It spreads a crowd of failed
    /// tasks better than a fixed share of the wait.
    #[default]
    Exponential,
}

/// How long to wait before a failed task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// How the wait grows.
    pub strategy: Strategy,
    /// The wait before the first retry, in seconds. From 0 to one day.
    #[schemars(range(min = 0, max = WAIT_SECONDS_MAX))]
    pub base_seconds: f64,
    /// The longest wait, in seconds. From `base_seconds` to one day.
    #[schemars(range(min = 0, max = WAIT_SECONDS_MAX))]
    pub max_seconds: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { strategy: Strategy::Exponential, base_seconds: 1.0, max_seconds: 300.0 }
    }
}

impl Backoff {
    /// Says what is wrong with the numbers, if anything is.
    pub fn fault(&self) -> Option<String> {
        let seconds = 0.0..=WAIT_SECONDS_MAX;
        if !seconds.contains(&self.base_seconds) {
            return Some(format!(
                "`base_seconds` is {}: expected 0 to {WAIT_SECONDS_MAX}",
                self.base_seconds
            ));
        }
        if !seconds.contains(&self.max_seconds) || self.max_seconds < self.base_seconds {
            return Some(format!(
                "`max_seconds` is {}: expected `base_seconds` ({}) to {WAIT_SECONDS_MAX}",
                self.max_seconds, self.base_seconds
            ));
        }
        None
    }

    /// The wait before retry `n`, where the first retry is 1.
    ///
    /// `jitter` is drawn evenly from 0 to 1; only the exponential strategy uses it.
    pub fn wait(&self, n: u32, jitter: f64) -> Duration {
        let seconds = match self.strategy {
            Strategy::Fixed => self.base_seconds,
            Strategy::Linear => self.base_seconds * f64::from(n),
            Strategy::Exponential => {
                let doublings = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
                (self.base_seconds * 2.0_f64.powi(doublings)).min(self.max_seconds)
                    * jitter.clamp(0.0, 1.0)
            }
        };
        Duration::from_secs_f64(seconds.min(self.max_seconds).max(0.0))
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Try again after this wait.
    After(Duration),
    /// The task has failed for good.
    GiveUp,
}

/// Decides what follows the failed attempt number `attempt` of at most `attempts_max`.
///
/// A `retry_after_ms` of the fault is the least wait, whatever the backoff says; more than one day
/// counts as one day.
pub fn after(
    fault: &Fault,
    attempt: u32,
    attempts_max: u32,
    backoff: &Backoff,
    jitter: f64,
) -> Retry {
    if !fault.code.is_retryable() || attempt >= attempts_max {
        return Retry::GiveUp;
    }
    let asked = Duration::from_millis(fault.retry_after_ms.unwrap_or(0));
    Retry::After(backoff.wait(attempt, jitter).max(asked.min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::fault::FaultCode;

    fn backoff(strategy: Strategy) -> Backoff {
        Backoff { strategy, base_seconds: 2.0, max_seconds: 10.0 }
    }

    #[test]
    fn each_strategy_grows_as_it_says() {
        let waits = |strategy| (1..=4).map(move |n| backoff(strategy).wait(n, 1.0).as_secs());
        assert!(waits(Strategy::Fixed).eq([2, 2, 2, 2]));
        assert!(waits(Strategy::Linear).eq([2, 4, 6, 8]));
        assert!(waits(Strategy::Exponential).eq([2, 4, 8, 10]));
    }

    #[test]
    fn a_permanent_fault_is_not_retried() {
        let fault = Fault::new(FaultCode::Permanent, "no");
        assert_eq!(after(&fault, 1, 5, &Backoff::default(), 0.5), Retry::GiveUp);
    }

    #[test]
    fn the_last_attempt_is_not_followed_by_another() {
        let fault = Fault::new(FaultCode::Retryable, "busy");
        assert_eq!(after(&fault, 3, 3, &Backoff::default(), 0.5), Retry::GiveUp);
    }

    #[test]
    fn a_retry_waits_at_least_as_long_as_the_executor_said() {
        let mut fault = Fault::new(FaultCode::Retryable, "busy");
        fault.retry_after_ms = Some(60_000);
        let next = after(&fault, 1, 3, &backoff(Strategy::Fixed), 0.0);
        assert_eq!(next, Retry::After(Duration::from_mins(1)));
    }

    #[test]
    fn a_backoff_out_of_range_is_named() {
        let wrong = Backoff { max_seconds: 1.0, ..backoff(Strategy::Fixed) };
        assert!(wrong.fault().unwrap().contains("max_seconds"));
        let wrong = Backoff { base_seconds: f64::NAN, ..Backoff::default() };
        assert!(wrong.fault().unwrap().contains("base_seconds"));
    }

    proptest! {
        #[test]
        fn a_wait_never_passes_its_maximum(n in 1..10_000_u32, jitter in 0.0..=1.0_f64) {
            for strategy in [Strategy::Fixed, Strategy::Linear, Strategy::Exponential] {
                prop_assert!(backoff(strategy).wait(n, jitter) <= Duration::from_secs(10));
            }
        }

        #[test]
        fn an_executor_cannot_ask_for_more_than_a_day(ms: u64, jitter in 0.0..=1.0_f64) {
            let mut fault = Fault::new(FaultCode::Retryable, "busy");
            fault.retry_after_ms = Some(ms);
            let Retry::After(wait) = after(&fault, 1, 3, &backoff(Strategy::Exponential), jitter)
            else {
                panic!("attempts are left");
            };
            prop_assert!(wait <= Duration::from_hours(24));
            let asked = Duration::from_millis(ms);
            if asked > Duration::from_secs(10) {
                prop_assert_eq!(wait, asked.min(Duration::from_hours(24)));
            }
        }
    }
}
