//! How the runs of a tool went, in numbers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many of the last runs of a tool are looked at.
pub const RUNS_KEPT_MAX: u64 = 256;

/// How the runs of a tool ended since it was installed, and how long the last ones took.
///
/// Counted are attempts: a task that is tried three times ran three times. One that was cancelled, or
/// whose host ended, says nothing of the tool, and is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ToolMetrics {
    /// How often it ran: what was given again from the cache is not counted here.
    pub runs: u64,
    /// How many of them ended well.
    pub successes: u64,
    /// How many of them did not.
    pub failures: u64,
    /// How often a result was given again.
    pub cache_hits: u64,
    /// How often one was looked for in vain.
    pub cache_misses: u64,
    /// How often another tool was tried because this one had failed.
    pub fallbacks: u64,
    /// How many of the last runs the times are of, up to [`RUNS_KEPT_MAX`].
    pub window: u64,
    /// Half of them took no longer, in microseconds. None before the first run.
    pub median_us: Option<u64>,
    /// Nineteen of twenty took no longer, in microseconds. None before the first run.
    pub p95_us: Option<u64>,
}

impl ToolMetrics {
    /// What the last runs say, which took so long.
    pub fn of_runs(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self {
            window: took.len() as u64,
            median_us: percentile(&took, 50),
            p95_us: percentile(&took, 95),
            ..Self::default()
        }
    }
}

/// The nearest rank: the smallest of them that no fewer than so many percent are no longer than.
fn percentile(sorted: &[Duration], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    let found = sorted.get(rank - 1)?;
    Some(u64::try_from(found.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_nearest_rank() {
        let of =
            |count| ToolMetrics::of_runs((1..=count).rev().map(Duration::from_micros).collect());
        let times = |count| (of(count).median_us, of(count).p95_us);
        assert_eq!(times(0), (None, None));
        assert_eq!(times(1), (Some(1), Some(1)));
        assert_eq!(times(20), (Some(10), Some(19)));
        assert_eq!(times(256), (Some(128), Some(244)));
    }
}
