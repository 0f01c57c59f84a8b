//! Where a destination that is granted may lead although it is not on the public internet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::cidr::Cidr;
use super::host::HostPattern;

/// Addresses that are not public and may be reached nevertheless: those of a range, `10.0.0.0/8`,
/// or whatever one name resolves to, `db.internal`.
///
/// It allows no destination by itself: it only opens addresses to destinations that are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetPattern(Net);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Net {
    Range(Cidr),
    Name(HostPattern),
}

impl NetPattern {
    /// Whether a destination of this name may be reached at this address. `host` is lower case,
    /// without brackets.
    pub fn matches(&self, host: &str, address: IpAddr) -> bool {
        match &self.0 {
            Net::Range(range) => range.contains(address),
            Net::Name(name) => name.matches(host),
        }
    }
}

impl FromStr for NetPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_address = text.contains(['/', ':']) || text.parse::<IpAddr>().is_ok();
        if is_address {
            return Cidr::parse(text).map(Net::Range).map(Self);
        }
        match HostPattern::parse(text)? {
            HostPattern::Any => {
                Err("`*` would open every private address: write a range, like `10.0.0.0/8`"
                    .to_owned())
            }
            name @ (HostPattern::Below(_) | HostPattern::Exactly(_)) => Ok(Self(Net::Name(name))),
        }
    }
}

impl fmt::Display for NetPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Net::Range(range) => range.fmt(formatter),
            Net::Name(name) => name.fmt(formatter),
        }
    }
}

super::text::as_text!(NetPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str, address: &str) -> bool {
        pattern.parse::<NetPattern>().unwrap().matches(host, address.parse().unwrap())
    }

    #[test]
    fn a_range_opens_its_addresses_to_every_name() {
        assert!(matches("10.0.0.0/8", "db.internal", "10.1.2.3"));
        assert!(!matches("10.0.0.0/8", "db.internal", "127.0.0.1"));
    }

    #[test]
    fn a_name_opens_whatever_it_resolves_to() {
        assert!(matches("db.internal", "db.internal", "127.0.0.1"));
        assert!(!matches("db.internal", "other.internal", "127.0.0.1"));
        assert!(matches("*.internal", "db.internal", "127.0.0.1"));
    }

    #[test]
    fn everything_at_once_is_refused() {
        assert!("*".parse::<NetPattern>().is_err());
        assert!("10.0.0.1/8".parse::<NetPattern>().is_err());
    }
}
