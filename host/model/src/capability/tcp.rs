//! Destinations of TCP connections, by name.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;

use super::host::HostPattern;
use super::port::PortPattern;

/// A set of TCP destinations: `smtp.example.com:587`, `*.example.com:*`, `[::1]:25`.
///
/// A host is written as in an [`HttpPattern`](super::HttpPattern). The port is always said.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("examples" = ["smtp.example.com:587"]))]
pub struct TcpPattern {
    host: HostPattern,
    port: PortPattern,
}

impl TcpPattern {
    /// The pattern that matches this one destination only. `host` is lower case, without brackets.
    pub fn exactly(host: &str, port: u16) -> Self {
        Self { host: HostPattern::Exactly(host.to_owned()), port: PortPattern::Exactly(port) }
    }

    /// Whether this destination is in the set. `host` is lower case, without brackets.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.host.matches(host) && self.port.matches(port)
    }

    /// Whether the set names this host by itself, and not by a `*`.
    pub fn names(&self, host: &str) -> bool {
        matches!(&self.host, HostPattern::Exactly(name) if name == host)
    }

    /// Whether some destination is in both sets.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.host.overlaps(&other.host) && self.port.overlaps(other.port)
    }

    /// Whether every destination of the other set is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.host.covers(&other.host) && self.port.covers(other.port)
    }
}

impl FromStr for TcpPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = HostPattern::parse_authority(text)?;
        let port = port.ok_or(format!(
            "`{text}` has no port: expected HOST:PORT, like `smtp.example.com:587`"
        ))?;
        Ok(Self { host, port: PortPattern::parse(port)? })
    }
}

impl fmt::Display for TcpPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

super::text::as_text!(TcpPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_matches_by_host_and_port() {
        let pattern: TcpPattern = "*.example.com:587".parse().unwrap();
        assert!(pattern.matches("smtp.example.com", 587));
        assert!(!pattern.matches("smtp.example.com", 25));
        assert!(!pattern.matches("example.com", 587));
        let any: TcpPattern = "[::1]:*".parse().unwrap();
        assert!(any.matches("::1", 25) && !any.matches("::2", 25));
    }

    #[test]
    fn the_port_must_be_said() {
        for wrong in ["smtp.example.com", "smtp.example.com:", ":25", "a:0", "tcp://a:25", "a:b:1"]
        {
            assert!(wrong.parse::<TcpPattern>().is_err(), "{wrong}");
        }
    }
}
