//! Ids: 64-bit numbers that sort by time, written as `j_…`, `t_…`, `f_…` and `k_…`.
//!
//! It does not hand out randomness: an id is no secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;

/// The digits of Crockford's base 32, lower case (<https://www.crockford.com/base32.html>).
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many digits an id has: 13 × 5 bits hold 64.
const DIGITS_PER_ID: usize = 13;

/// The text is not an id of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of a {kind}: expected `{prefix}` and {DIGITS_PER_ID} characters")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}{}", $prefix, encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix).and_then(decode).map(Self).ok_or_else(|| InvalidId {
                    text: text.to_owned(),
                    kind: $kind,
                    prefix: $prefix,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// The id of a job, for example `j_01h2xcejqtf2n`.
    JobId, "j_", "job"
);
id!(
    /// The id of a task, for example `t_01h2xcejqtf2p`.
    TaskId, "t_", "task"
);
id!(
    /// The id of an uploaded file, for example `f_01h2xcejqtf2q`.
    FileId, "f_", "file"
);
id!(
    /// The id of an API token, for example `k_01h2xcejqtf2r`.
    TokenId, "k_", "token"
);

/// Makes ids: 41 bits of milliseconds, 10 bits of node, 12 bits of sequence.
///
/// Ids of one source strictly grow, even when the clock stands still or goes back.
#[derive(Debug, Clone)]
pub struct IdSource {
    node: u16,
    last: i64,
}

impl IdSource {
    /// Makes the source of one host. Only the lower 10 bits of `node` count.
    pub fn new(node: u16) -> Self {
        Self { node: node & 0x3ff, last: 0 }
    }

    /// The next number, larger than every one before it.
    pub fn next(&mut self, now: Timestamp) -> i64 {
        let first_of_now = ((now.unix_ms() & ((1 << 41) - 1)) << 22) | (i64::from(self.node) << 12);
        self.last = first_of_now.max(self.last + 1);
        self.last
    }
}

/// The smallest id that any source makes at this moment, or later.
pub fn first_id(at: Timestamp) -> i64 {
    at.unix_ms().clamp(0, (1 << 41) - 1) << 22
}

fn encode(number: i64) -> String {
    let bits = number.cast_unsigned();
    (0..DIGITS_PER_ID)
        .rev()
        .map(|digit| {
            let index = usize::try_from((bits >> (digit * 5)) & 31).unwrap_or_default();
            char::from(DIGITS[index])
        })
        .collect()
}

fn decode(text: &str) -> Option<i64> {
    if text.len() != DIGITS_PER_ID {
        return None;
    }
    let mut bits: u128 = 0;
    for character in text.bytes() {
        let digit = DIGITS.iter().position(|known| *known == character)?;
        bits = (bits << 5) | u128::try_from(digit).ok()?;
    }
    i64::try_from(bits).ok()
}

/// Writes bytes with the same digits, five bits each, the last ones filled up with zeros.
pub(crate) fn encode_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes {
        (bits, count) = (((bits & 31) << 8) | u32::from(*byte), count + 8);
        while count >= 5 {
            count -= 5;
            text.push(digit(bits >> count));
        }
    }
    if count > 0 {
        text.push(digit(bits << (5 - count)));
    }
    text
}

/// Reads so many bytes. None for every text but the one that they are written as.
pub(crate) fn decode_bytes(text: &str, count: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    let (mut bits, mut held) = (0_u32, 0);
    for character in text.bytes() {
        let digit = DIGITS.iter().position(|known| *known == character)?;
        (bits, held) = (((bits & 255) << 5) | u32::try_from(digit).ok()?, held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 255).ok()?);
        }
    }
    (bytes.len() == count && encode_bytes(&bytes) == text).then_some(bytes)
}

fn digit(bits: u32) -> char {
    char::from(DIGITS[usize::try_from(bits & 31).unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_written(number in 0..i64::MAX) {
            let id = JobId(number);
            prop_assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        }

        #[test]
        fn ids_sort_as_their_text(left in 0..i64::MAX, right in 0..i64::MAX) {
            let texts = (TaskId(left).to_string(), TaskId(right).to_string());
            prop_assert_eq!(left.cmp(&right), texts.0.cmp(&texts.1));
        }
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let mut source = IdSource::new(7);
        let first = source.next(Timestamp::from_unix_ms(2_000));
        let second = source.next(Timestamp::from_unix_ms(1_000));
        assert!(second > first);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let task = TaskId(42).to_string();
        assert!(task.parse::<JobId>().unwrap_err().to_string().contains("id of a job"));
    }
}
