//! Moments in time, and the promise of a clock.
//!
//! Nothing here reads the time of day: whoever needs it is handed a [`Clock`].

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("format" = "date-time", "examples" = ["2026-01-31T08:00:00.000Z"]))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `unix_ms` milliseconds after the Unix epoch.
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// The moment `span` later; the end of time when there is no such moment.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier; the beginning of time when there is no such moment.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The span from `earlier` to this moment, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(formatter, "{moment:.3}"),
            Err(_) => write!(formatter, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>().map(|moment| Self(moment.as_millisecond())).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is not a time: expected RFC 3339, for example `2026-01-31T08:00:00Z`"
            ))
        })
    }
}

/// Tells the time of day. The host hands in the system's; a test hands in its own.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_rfc_3339_and_read_back() {
        let moment = Timestamp::from_unix_ms(1_769_846_400_250);
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(text, r#""2026-01-31T08:00:00.250Z""#);
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), moment);
    }

    #[test]
    fn a_moment_without_a_zone_is_refused() {
        let error = serde_json::from_str::<Timestamp>(r#""2026-01-31 08:00""#).unwrap_err();
        assert!(error.to_string().contains("RFC 3339"), "{error}");
    }
}
