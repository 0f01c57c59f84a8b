//! Hosts: a name, an address, all names below one, or any.

use std::fmt;
use std::net::Ipv6Addr;

/// A set of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// Every host: `*`.
    Any,
    /// Every name below this one: `*.example.com`.
    Below(String),
    /// This name or address, in lower case and without brackets.
    Exactly(String),
}

impl HostPattern {
    /// Whether this host is in the set. `host` is lower case, without brackets.
    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(parent) => is_below(host, parent),
            Self::Exactly(name) => name == host,
        }
    }

    /// Whether some host is in both sets.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exactly(left), Self::Exactly(right)) => left == right,
            (Self::Exactly(name), Self::Below(parent))
            | (Self::Below(parent), Self::Exactly(name)) => is_below(name, parent),
            (Self::Below(left), Self::Below(right)) => {
                left == right || is_below(left, right) || is_below(right, left)
            }
        }
    }

    /// Whether every host of the other set is in this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exactly(_), Self::Below(_)) => false,
            (Self::Exactly(own), Self::Exactly(name)) => own == name,
            (Self::Below(parent), Self::Exactly(name)) => is_below(name, parent),
            (Self::Below(parent), Self::Below(name)) => parent == name || is_below(name, parent),
        }
    }

    /// Reads a host as it stands before a port: an IPv6 address is in brackets, and nothing else.
    /// Returns the text after it as well.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub(super) fn parse_authority(authority: &str) -> Result<(Self, Option<&str>), String> {
        if let Some(rest) = authority.strip_prefix('[') {
            let (address, after) =
                rest.split_once(']').ok_or(format!("`{authority}`: the `[` is never closed"))?;
            let address: Ipv6Addr = address.parse().map_err(|_| {
                format!("`{address}` is not an IPv6 address, and only such stand in brackets")
            })?;
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(format!("`{authority}`: after `]` comes `:` and a port, or nothing"));
            }
            // Its canonical text, since that is what destinations are compared by.
            return Ok((Self::Exactly(address.to_string()), port));
        }
        match authority.split_once(':') {
            Some((host, port)) => Ok((Self::parse(host)?, Some(port))),
            None => Ok((Self::parse(authority)?, None)),
        }
    }

    /// Reads a host that stands alone.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub(super) fn parse(host: &str) -> Result<Self, String> {
        if host == "*" {
            return Ok(Self::Any);
        }
        let host = host.to_ascii_lowercase();
        let (below, name) = match host.strip_prefix("*.") {
            Some(parent) => (true, parent.to_owned()),
            None => (false, host),
        };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || !name.chars().all(is_allowed) {
            return Err(format!(
                "`{name}` is not a host: expected a name, an address, `*.` and a name, or `*`"
            ));
        }
        Ok(if below { Self::Below(name) } else { Self::Exactly(name) })
    }
}

fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Below(parent) => write!(formatter, "*.{parent}"),
            Self::Exactly(name) if name.contains(':') => write!(formatter, "[{name}]"),
            Self::Exactly(name) => formatter.write_str(name),
        }
    }
}
