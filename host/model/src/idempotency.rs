//! The keys by which a caller may ask for the same job again, and get the one it has.
//!
//! It does not know which keys were used: the store does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most characters that a key may have.
const CHARACTERS_MAX: usize = 255;

const SECONDS_PER_HOUR: u64 = 3_600;

/// A key that a caller made up for one job: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[schemars(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[!-~]{1,255}$", "examples" = ["8e03978e-40d5-43dd-bc93-6894a57f9324"]))]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_right = (1..=CHARACTERS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        if is_right {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "an idempotency key has 1 to {CHARACTERS_MAX} visible ASCII characters and no spaces, \
             for example a UUID"
        ))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How long a key is kept after it was used, in hours: from 1 to 8760, which is a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct IdempotencyHours(u32);

impl IdempotencyHours {
    /// The same as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * SECONDS_PER_HOUR)
    }
}

/// A day: longer than any client goes on trying.
impl Default for IdempotencyHours {
    fn default() -> Self {
        Self(24)
    }
}

impl TryFrom<u32> for IdempotencyHours {
    type Error = String;

    fn try_from(hours: u32) -> Result<Self, String> {
        let is_right = (1..=8_760).contains(&hours);
        is_right.then_some(Self(hours)).ok_or(format!("{hours} is not from 1 to 8760 hours"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_and_short() {
        let longest = "x".repeat(255);
        for right in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "\"quoted\"", &longest] {
            assert_eq!(right.parse::<IdempotencyKey>().unwrap().as_str(), right);
        }
        let too_long = "x".repeat(256);
        for wrong in ["", " ", "two words", "tab\t", "\u{e9}", "nul\0", &too_long] {
            assert!(wrong.parse::<IdempotencyKey>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_is_kept_for_an_hour_to_a_year() {
        assert_eq!(IdempotencyHours::default().duration(), Duration::from_hours(24));
        assert!(
            IdempotencyHours::try_from(0).is_err() && IdempotencyHours::try_from(8_761).is_err()
        );
    }
}
