//! Ranges of addresses, in CIDR notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// Its first address. Never one that is mapped from IPv4.
    first: IpAddr,
    /// How many leading bits all its addresses share.
    bits: u8,
}

impl Cidr {
    /// The range of one address.
    pub(super) fn exactly(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self { first, bits: width(first) }
    }

    /// Whether an address is in the range. A mapped one is judged as what it maps.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && mask(address, self.bits) == self.first
    }

    /// Whether some address is in both ranges.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether every address of the other range is in this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.contains(other.first) && self.bits <= other.bits
    }

    /// Reads an address, or an address with `/` and how many bits are fixed.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a range of addresses: expected an address, or one with `/` and \
                 its fixed bits, like `10.0.0.0/8`"
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        if address != address.to_canonical() {
            return Err(format!("`{text}`: write the IPv4 address that it maps"));
        }
        let Some(bits) = bits else { return Ok(Self::exactly(address)) };
        let bits: u8 = bits.parse().map_err(|_| expected())?;
        if bits > width(address) {
            return Err(expected());
        }
        let first = mask(address, bits);
        if first != address {
            return Err(format!("`{text}`: the range begins at `{first}/{bits}`"));
        }
        Ok(Self { first, bits })
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Clears all but the leading bits.
fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & keep).into()
        }
        IpAddr::V6(address) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & keep).into()
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.first) {
            return write!(formatter, "{}", self.first);
        }
        write!(formatter, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, address: &str) -> bool {
        Cidr::parse(range).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_contains_what_shares_its_fixed_bits() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("fd00::/8", "fd12::1"));
        assert!(contains("127.0.0.1", "127.0.0.1"));
        assert!(!contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("0.0.0.0/0", "1.2.3.4"));
        assert!(contains("::/0", "2606:4700::1"));
    }

    #[test]
    fn a_mapped_address_is_in_the_range_of_what_it_maps() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("::/0", "::ffff:10.1.2.3"));
        assert!(Cidr::parse("::ffff:10.0.0.0/104").is_err());
    }

    #[test]
    fn a_range_that_begins_elsewhere_is_refused_with_its_beginning() {
        let error = Cidr::parse("10.1.2.3/8").unwrap_err();
        assert!(error.contains("`10.0.0.0/8`"), "{error}");
        for wrong in ["10.0.0.0/33", "10.0.0/8", "::/129", "", "/8", "10.0.0.0/-1", "fd00::/"] {
            assert!(Cidr::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_was_read() {
        for text in ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::1", "0.0.0.0/0"] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
        }
    }
}
