//! Time zones, by their names in the IANA time zone database.
//!
//! The database is part of the program, not of the system: all hosts of one version agree.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::likeness::nearest;

/// How alike two names must be for one to be suggested for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.85;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone.
///
/// # Examples
///
/// ```
/// use apflow_model::zone::Zone;
///
/// assert_eq!("europe/berlin".parse::<Zone>().unwrap().to_string(), "Europe/Berlin");
/// assert!("Europe/Berln".parse::<Zone>().unwrap_err().contains("`Europe/Berlin`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("examples" = ["Europe/Berlin"]))]
pub struct Zone(pub(crate) TimeZone);

impl Zone {
    /// A moment as its clocks show it, with how far they are from UTC.
    pub fn show(&self, moment: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(moment.unix_ms()) {
            Ok(moment) => moment.to_zoned(self.0.clone()).strftime("%FT%T%:z").to_string(),
            Err(_) => moment.to_string(),
        }
    }
}

/// UTC.
impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("UTC") {
            return Ok(Self::default());
        }
        ZONES.get(text).map(Self).map_err(|_| {
            let known = ZONES.available().map(|name| name.to_string());
            match nearest(text, known, LIKENESS_MIN) {
                Some(name) => format!("`{text}` is no time zone: did you mean `{name}`?"),
                None => format!(
                    "`{text}` is no time zone: expected an IANA name, such as `Europe/Berlin`"
                ),
            }
        })
    }
}

/// Its IANA name.
impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_with_what_is_one() {
        let error = "Middle Earth".parse::<Zone>().unwrap_err();
        assert!(error.contains("such as `Europe/Berlin`"), "{error}");
        assert_eq!(Zone::default().to_string(), "UTC");
        assert_eq!("utc".parse::<Zone>().unwrap(), Zone::default());
    }
}
