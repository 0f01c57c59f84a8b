//! Ports: one, or any.

use std::fmt;

/// A set of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortPattern {
    /// Every port: `*`.
    Any,
    /// This one.
    Exactly(u16),
}

impl PortPattern {
    /// Whether this port is in the set.
    pub(super) fn matches(self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(own) => own == port,
        }
    }

    /// Whether some port is in both sets.
    pub(super) fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exactly(left), Self::Exactly(right)) => left == right,
        }
    }

    /// Whether every port of the other set is in this one.
    pub(super) fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }

    /// Reads `443` or `*`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.parse() {
            Ok(port) if port > 0 => Ok(Self::Exactly(port)),
            _ => Err(format!("`{text}` is not a port: expected 1 to 65535, or `*`")),
        }
    }
}

impl fmt::Display for PortPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Exactly(port) => write!(formatter, "{port}"),
        }
    }
}
