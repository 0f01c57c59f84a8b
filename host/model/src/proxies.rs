//! Through which proxy a client reaches a server, as the usual variables of the environment say.
//!
//! It opens nothing. Proxies in front of the host are the subject of [`crate::proxy`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::capability::cidr::Cidr;

/// Through which proxies servers are reached: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
/// `NO_PROXY`, in large letters or in small ones.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    /// What is reached without one.
    direct: Vec<Exception>,
}

/// Their addresses may hold passwords.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Proxies").field("direct", &self.direct).finish_non_exhaustive()
    }
}

/// What is reached without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// Everything.
    All,
    /// A range of addresses, or one.
    Addresses(Cidr),
    /// A name, in small letters, with all names below it.
    Name(String),
}

impl Proxies {
    /// What the environment says.
    pub fn of(environment: &BTreeMap<String, String>) -> Self {
        let find = |name: &str| {
            let value = environment.get(&name.to_lowercase()).or_else(|| environment.get(name));
            value.filter(|value| !value.is_empty()).cloned()
        };
        let all = find("ALL_PROXY");
        let direct = find("NO_PROXY").unwrap_or_default();
        let direct = direct.split([',', ' ']).filter_map(|text| Exception::parse(text.trim()));
        Self {
            http: find("HTTP_PROXY").or_else(|| all.clone()),
            https: find("HTTPS_PROXY").or(all),
            direct: direct.collect(),
        }
    }

    /// The URL of the proxy for a host. None when it is reached without one, as this machine always
    /// is.
    pub fn find(&self, host: &str, is_tls: bool) -> Option<&str> {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = name.parse().ok();
        let is_here = name == "localhost" || address.is_some_and(|address| address.is_loopback());
        if is_here || self.direct.iter().any(|one| one.covers(&name, address)) {
            return None;
        }
        if is_tls { self.https.as_deref() } else { self.http.as_deref() }
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Ok(addresses) = Cidr::parse(text) {
            return Some(Self::Addresses(addresses));
        }
        // A port narrows nothing here: a host is reached in one way.
        let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
        let name = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Name(name))
    }

    fn covers(&self, name: &str, address: Option<IpAddr>) -> bool {
        match self {
            Self::All => true,
            Self::Addresses(addresses) => address.is_some_and(|one| addresses.contains(one)),
            Self::Name(known) => {
                let rest = name.strip_suffix(known.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Proxies::of(&pairs.collect())
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = proxies(&[("HTTPS_PROXY", "http://s:1"), ("http_proxy", "http://p:2")]);
        assert_eq!(both.find("api.example.com", true), Some("http://s:1"));
        assert_eq!(both.find("api.example.com", false), Some("http://p:2"));
        let all = proxies(&[("ALL_PROXY", "http://a:3"), ("HTTP_PROXY", "")]);
        assert_eq!(all.find("api.example.com", false), Some("http://a:3"));
        assert_eq!(proxies(&[]).find("api.example.com", true), None);
    }

    #[test]
    fn this_machine_and_what_is_excepted_need_none() {
        let some = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "a.test, .b.test:443,10.0.0.0/8")];
        let some = proxies(&some);
        for direct in [
            "localhost",
            "127.0.0.1",
            "::1",
            "a.test",
            "x.a.test",
            "B.test.",
            "c.b.test",
            "10.1.2.3",
        ] {
            assert_eq!(some.find(direct, true), None, "{direct}");
        }
        for other in ["aa.test", "test", "11.0.0.1", "10.example"] {
            assert_eq!(some.find(other, true), Some("http://p:1"), "{other}");
        }
        let none = proxies(&[("ALL_PROXY", "http://p:1"), ("no_proxy", "*")]);
        assert_eq!(none.find("a.test", true), None);
    }
}
