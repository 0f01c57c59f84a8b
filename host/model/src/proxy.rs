//! Whose request it is that a proxy passes on.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::capability::cidr::Cidr;

/// The addresses of the proxies in front of the host. Anybody else is the client, whatever the
/// headers say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<Range>);

/// A range of addresses, such as `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Range(Cidr);

impl TryFrom<String> for Range {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Cidr::parse(&text).map(Self)
    }
}

/// The header in which proxies say whose request they pass on.
///
/// Only one is believed: a proxy that writes one passes the other on as its client sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, as in RFC 7239.
    Forwarded,
}

impl ProxyHeader {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The address of one step. None when it has none that can be read.
    fn read(self, step: &str) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => address(step),
            Self::Forwarded => {
                let mut pairs = step.split(';').filter_map(|pair| pair.trim().split_once('='));
                let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
                address(node.trim_matches('"'))
            }
        }
    }
}

impl TrustedProxies {
    /// Whether an address is one of theirs.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.0.contains(address))
    }

    /// Whose request it is that `peer` sends with these values of their header, in their order.
    ///
    /// Each proxy adds at the end whom it has the request from. So the list is read from its end,
    /// and only as far as proxies wrote it: the last address that is none of theirs is the client.
    pub fn client<'a>(
        &self,
        header: ProxyHeader,
        peer: IpAddr,
        values: impl Iterator<Item = &'a str>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contain(client) {
            return client;
        }
        let steps: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
        for step in steps.into_iter().rev() {
            let Some(address) = header.read(step.trim()) else { break };
            client = address.to_canonical();
            if !self.contain(client) {
                break;
            }
        }
        client
    }
}

/// Reads an address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ProxyHeader, peer: &str, values: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "::1"];
        let range = |text: &&str| Range::try_from((*text).to_owned()).unwrap();
        let proxies = TrustedProxies(trusted.iter().map(range).collect());
        proxies.client(header, peer.parse().unwrap(), values.iter().copied()).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client(ProxyHeader::XForwardedFor, "1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
    }

    #[test]
    fn what_a_client_made_up_is_left_of_what_its_proxy_saw() {
        let client = |values: &[&str]| client(ProxyHeader::XForwardedFor, "10.0.0.1", values);
        assert_eq!(client(&["9.9.9.9, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&["9.9.9.9", "1.2.3.4, 10.0.0.2"]), "1.2.3.4");
        assert_eq!(client(&["1.2.3.4:5678"]), "1.2.3.4");
        assert_eq!(client(&["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client(&["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(client(&["::ffff:1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        let client = |values: &[&str]| client(ProxyHeader::XForwardedFor, "10.0.0.1", values);
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["9.9.9.9, unknown"]), "10.0.0.1");
        assert_eq!(client(&["9.9.9.9, unknown, 10.0.0.7"]), "10.0.0.7");
        assert_eq!(client(&["10.0.0.9"]), "10.0.0.9");
    }

    #[test]
    fn the_header_of_the_standard_is_read_too() {
        let client = |value: &str| client(ProxyHeader::Forwarded, "::1", &[value]);
        assert_eq!(client("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
        assert_eq!(client("for=9.9.9.9, For=\"[2001:db8:cafe::17]:4711\""), "2001:db8:cafe::17");
        assert_eq!(client("for=_hidden"), "::1");
        assert_eq!(client("proto=https"), "::1");
    }
}
