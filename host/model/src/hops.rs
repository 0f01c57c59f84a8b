//! The hosts that a job came through, so that no ring of hosts runs for ever.
//!
//! A host adds itself to every HTTP request of its guests, as CDNs do by `CDN-Loop` (RFC 8586): what a
//! guest sends itself does not count. A job that such a request submits knows the hosts before.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most hosts that a job may have come through.
pub const HOPS_MAX: usize = 8;

/// The header that carries them.
pub const HEADER: &str = "apflow-hops";

/// How many hexadecimal digits follow the `h_` of an id.
const DIGITS: usize = 16;

/// The id of a host, which all processes of one database share: `h_` and 16 hexadecimal digits,
/// drawn at random when the database was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^h_[0-9a-f]{16}$", "examples" = ["h_0123456789abcdef"]))]
pub struct HostId(String);

impl FromStr for HostId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.strip_prefix("h_");
        if digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit)) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{text}` is no id of a host: expected `h_` and {DIGITS} hexadecimal digits"))
    }
}

impl TryFrom<String> for HostId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostId> for String {
    fn from(id: HostId) -> Self {
        id.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The hosts that a job came through, the first one first. None for one that no guest submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Hops(Vec<HostId>);

/// A job came too far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HopFault {
    /// It was here before.
    #[error(
        "the job came through this host before, by way of `{0}`: hosts call each other in a ring"
    )]
    Ring(Hops),
    /// It came through too many hosts.
    #[error("the job came through {0} hosts, but {HOPS_MAX} are the most")]
    TooMany(usize),
}

impl Hops {
    /// Whether the job came straight from a caller.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The host that it came through last.
    pub fn last(&self) -> Option<&HostId> {
        self.0.last()
    }

    /// Lets a job into `host`.
    ///
    /// # Errors
    ///
    /// [`HopFault::Ring`] when it came through `host` before, and [`HopFault::TooMany`] when it came
    /// through more than [`HOPS_MAX`].
    pub fn admit(&self, host: &HostId) -> Result<(), HopFault> {
        if self.0.contains(host) {
            return Err(HopFault::Ring(self.clone()));
        }
        if self.0.len() > HOPS_MAX {
            return Err(HopFault::TooMany(self.0.len()));
        }
        Ok(())
    }

    /// The same way with one more host at its end.
    #[must_use]
    pub fn through(&self, host: &HostId) -> Self {
        let mut hosts = self.0.clone();
        hosts.push(host.clone());
        Self(hosts)
    }
}

/// As the header has them: `h_…, h_…`.
impl fmt::Display for Hops {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, host) in self.0.iter().enumerate() {
            write!(formatter, "{}{host}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl FromStr for Hops {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|host| host.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: usize) -> HostId {
        format!("h_{n:016x}").parse().unwrap()
    }

    #[test]
    fn hops_read_back_as_written() {
        for count in 0..3 {
            let hops = (0..count).fold(Hops::default(), |hops, n| hops.through(&host(n)));
            assert_eq!(hops.to_string().parse(), Ok(hops));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["a", "h_", "h_0123456789ABCDEF", "h_0123456789abcdef,", "h_0123456789abcde"] {
            assert!(text.parse::<Hops>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_ring_ends_where_it_closes() {
        let hops = Hops::default().through(&host(1)).through(&host(2));
        assert_eq!(hops.admit(&host(3)), Ok(()));
        for n in [1, 2] {
            assert_eq!(hops.admit(&host(n)), Err(HopFault::Ring(hops.clone())));
        }
    }

    #[test]
    fn a_chain_ends_after_so_many_hosts() {
        let hops = (0..HOPS_MAX).fold(Hops::default(), |hops, n| hops.through(&host(n)));
        assert_eq!(hops.admit(&host(99)), Ok(()));
        let hops = hops.through(&host(98));
        assert_eq!(hops.admit(&host(99)), Err(HopFault::TooMany(HOPS_MAX + 1)));
    }
}
