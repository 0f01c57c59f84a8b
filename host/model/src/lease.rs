//! How long a host that is not heard of keeps its tasks.

use std::time::Duration;

use serde::Deserialize;

/// How long the tasks of a host stay its own after it was last heard of: from 3 to 300 seconds, 15
/// without another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct LeaseSeconds(u32);

impl LeaseSeconds {
    /// The span.
    pub const fn span(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl Default for LeaseSeconds {
    fn default() -> Self {
        Self(15)
    }
}

impl TryFrom<u32> for LeaseSeconds {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let is_right = (3..=300).contains(&number);
        is_right.then_some(Self(number)).ok_or(format!("{number} is not from 3 to 300"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_neither_too_short_nor_too_long() {
        for (seconds, is_right) in [(2, false), (3, true), (300, true), (301, false)] {
            assert_eq!(LeaseSeconds::try_from(seconds).is_ok(), is_right, "{seconds}");
        }
    }
}
