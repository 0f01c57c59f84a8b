//! Results of tools that are kept, to be given again for the same arguments.
//!
//! It keeps none: the store does, and each tool says for how long.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::plugin::Digest;

/// The largest result that is kept, in bytes of its JSON: 1 MiB.
pub const RESULT_BYTES_MAX: usize = 1 << 20;

/// How many results of all tools are kept together. When there are more, the oldest go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// How many, from 0 to 1,000,000. With 0, none is kept.
    pub results_max: u64,
    /// How many bytes of them, from 1 MiB to 1 TiB.
    pub bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { results_max: 10_000, bytes_max: 64 << 20 }
    }
}

/// A result that is kept, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptResult {
    /// What it is found by: the sha256 of the tool, of what it was given, and of what it may do.
    pub key: Digest,
    /// The tool.
    #[schemars(example = &"minify")]
    pub tool: String,
    /// The size of its JSON, in bytes.
    #[schemars(example = 512)]
    pub bytes: u64,
    /// When the run ended that it comes from.
    pub kept_at: Timestamp,
    /// Until when it is given again.
    pub expires_at: Timestamp,
}

/// Results that are kept: some of them, and how many there are of all tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptResults {
    /// How many are kept of all tools.
    #[schemars(example = 1)]
    pub total: u64,
    /// How many bytes they have together.
    #[schemars(example = 512)]
    pub bytes: u64,
    /// The newest first.
    pub results: Vec<KeptResult>,
    /// What to send as `cursor` for the next page. Null on the last one.
    #[serde(default)]
    pub cursor: Option<ResultCursor>,
}

/// A cursor, in the schema.
const EXAMPLE: &str =
    "1785542400000-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// Where a list of results goes on: after this one. It is written as `MILLISECONDS-KEY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(
    try_from = "String",
    into = "String",
    extend("pattern" = "^[0-9]{1,18}-[0-9a-f]{64}$"),
    extend("examples" = [EXAMPLE]),
)]
pub struct ResultCursor {
    /// When the run ended that it comes from.
    pub kept_at: Timestamp,
    /// What it is found by.
    pub key: Digest,
}

impl ResultCursor {
    /// After this result.
    pub fn after(result: &KeptResult) -> Self {
        Self { kept_at: result.kept_at, key: result.key }
    }
}

impl fmt::Display for ResultCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.kept_at.unix_ms(), self.key)
    }
}

impl FromStr for ResultCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected the `cursor` of a page before".to_owned();
        let (kept_at, key) = text.split_once('-').ok_or_else(wrong)?;
        let kept_at = kept_at.parse().map(Timestamp::from_unix_ms).map_err(|_| wrong())?;
        Ok(Self { kept_at, key: key.parse().map_err(|_| wrong())? })
    }
}

impl Serialize for ResultCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResultCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let key = Digest([0xab; 32]);
        let cursor = ResultCursor { kept_at: Timestamp::from_unix_ms(1_800_000_000_001), key };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        EXAMPLE.parse::<ResultCursor>().unwrap();
        for wrong in ["", "1", "x-00", "1-ab", "-1-ab"] {
            assert!(wrong.parse::<ResultCursor>().is_err(), "{wrong}");
        }
    }
}
