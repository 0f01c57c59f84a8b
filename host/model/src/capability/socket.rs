//! Destinations of raw sockets, by address: a raw socket knows no names.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use schemars::JsonSchema;

use super::cidr::Cidr;
use super::port::PortPattern;

/// A set of addresses and ports: `10.0.0.5:5432`, `10.0.0.0/8:*`, `[fd00::/8]:5432`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("examples" = ["10.0.0.0/8:5432"]))]
pub struct SocketPattern {
    range: Cidr,
    port: PortPattern,
}

impl SocketPattern {
    /// The pattern that matches this one address and port only.
    pub fn exactly(address: SocketAddr) -> Self {
        Self { range: Cidr::exactly(address.ip()), port: PortPattern::Exactly(address.port()) }
    }

    /// Whether this address and port are in the set.
    pub fn matches(&self, address: SocketAddr) -> bool {
        self.range.contains(address.ip()) && self.port.matches(address.port())
    }

    /// Whether some address and port are in both sets.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.range.overlaps(&other.range) && self.port.overlaps(other.port)
    }

    /// Whether every address and port of the other set is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.range.covers(&other.range) && self.port.covers(other.port)
    }
}

impl FromStr for SocketPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` has no port: expected ADDRESS:PORT or RANGE:PORT, like `10.0.0.0/8:5432` \
                 or `[fd00::/8]:5432`"
            )
        };
        let (range, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or_else(expected)?,
            None => text.rsplit_once(':').ok_or_else(expected)?,
        };
        let range = Cidr::parse(range)?;
        let pattern = Self { range, port: PortPattern::parse(port)? };
        if pattern.to_string().starts_with('[') == text.starts_with('[') {
            return Ok(pattern);
        }
        Err(format!("`{text}`: IPv6 stands in brackets, and nothing else: `{pattern}`"))
    }
}

impl fmt::Display for SocketPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = self.range.to_string();
        if range.contains(':') {
            return write!(formatter, "[{range}]:{}", self.port);
        }
        write!(formatter, "{range}:{}", self.port)
    }
}

super::text::as_text!(SocketPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, address: &str) -> bool {
        pattern.parse::<SocketPattern>().unwrap().matches(address.parse().unwrap())
    }

    #[test]
    fn an_address_matches_by_range_and_port() {
        assert!(matches("10.0.0.0/8:5432", "10.1.2.3:5432"));
        assert!(!matches("10.0.0.0/8:5432", "10.1.2.3:22"));
        assert!(matches("[fd00::/8]:*", "[fd00::1]:22"));
        assert!(matches("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
    }

    #[test]
    fn brackets_are_for_ipv6_alone() {
        for wrong in ["fd00::/8:5432", "[10.0.0.1]:80", "10.0.0.1", "db.example:80", "[::1]"] {
            assert!(wrong.parse::<SocketPattern>().is_err(), "{wrong}");
        }
    }
}
