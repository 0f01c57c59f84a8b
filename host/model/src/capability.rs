//! What a plugin asks for, and what the operator allows.
//!
//! An attempt may do what its plugin's manifest asks for *and* the operator granted, never more.
//! Enforcement is the sandbox's.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a plugin's manifest asks for. Asking alone allows only `clocks` and `random`, which reach
/// nothing outside the instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Destinations of HTTP requests.
    pub http: Vec<HttpPattern>,
    /// Whether it reads the files that are mounted at `/in`.
    pub fs_in: bool,
    /// Environment variables.
    pub env: Vec<String>,
    /// Whether it reads clocks.
    pub clocks: bool,
    /// Whether it draws random numbers.
    pub random: bool,
}

impl Capabilities {
    /// Each thing asked for, as words for the operator.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.http.iter().map(|pattern| format!("http {pattern}")).collect();
        lines.extend(self.fs_in.then(|| "fs.in (read)".to_owned()));
        lines.extend(self.env.iter().map(|name| format!("env {name}")));
        lines.extend(self.clocks.then(|| "clocks".to_owned()));
        lines.extend(self.random.then(|| "random".to_owned()));
        lines
    }
}

/// One thing that the operator allows a plugin, written `KIND=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// HTTP requests to matching destinations: `http=https://*.example.com`.
    Http(HttpPattern),
    /// The files below this folder of the host, read-only at `/in`: `fs.in=PATH`.
    FsIn(String),
    /// The host's value of this environment variable: `env=LANG`.
    Env(String),
}

impl Grant {
    /// Whether the manifest asks for anything that this grant could allow.
    pub fn is_asked(&self, asked: &Capabilities) -> bool {
        match self {
            Self::Http(granted) => asked.http.iter().any(|pattern| pattern.overlaps(granted)),
            Self::FsIn(_) => asked.fs_in,
            Self::Env(name) => asked.env.contains(name),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(pattern) => write!(formatter, "http={pattern}"),
            Self::FsIn(path) => write!(formatter, "fs.in={path}"),
            Self::Env(name) => write!(formatter, "env={name}"),
        }
    }
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let invalid = |reason: String| InvalidGrant { text: text.to_owned(), reason };
        let (kind, value) = text.split_once('=').ok_or_else(|| {
            invalid("expected KIND=VALUE, like `http=https://example.com`".into())
        })?;
        if value.is_empty() {
            return Err(invalid(format!("`{kind}` needs a value after `=`")));
        }
        match kind {
            "http" => value.parse().map(Self::Http).map_err(invalid),
            "fs.in" => Ok(Self::FsIn(value.to_owned())),
            "env" => Ok(Self::Env(value.to_owned())),
            "tcp" | "secret" | "fs.out" | "fs.scratch" => Err(invalid(format!(
                "this version cannot enforce `{kind}`, so it does not grant it"
            ))),
            _ => Err(invalid(format!("`{kind}` is not a kind: expected http, fs.in or env"))),
        }
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grant `{text}`: {reason}")]
pub struct InvalidGrant {
    text: String,
    reason: String,
}

/// The scheme of an HTTP destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The word before `://`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port when none is written.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A set of HTTP destinations: `https://api.example.com`, `https://*.example.com`,
/// `http://127.0.0.1:8080`, `http://[::1]`, `http://*:*`.
///
/// A host is a name, an address, `*.` and a name (any name below it), or `*` (any host). An IPv6
/// address stands in brackets, and nothing else does. Without a port it is the scheme's own; `:*`
/// is any port. Paths are not part of a pattern in this version. What is read is written as
/// something that reads back as the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPattern {
    scheme: Scheme,
    host: HostPattern,
    /// None for any port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    Below(String),
    Exactly(String),
}

impl HttpPattern {
    /// The pattern that matches this one destination only. `host` is lower case, without brackets.
    pub fn exactly(scheme: Scheme, host: &str, port: u16) -> Self {
        Self { scheme, host: HostPattern::Exactly(host.to_owned()), port: Some(port) }
    }

    /// Whether this destination is in the set. `host` is lower case, without brackets.
    pub fn matches(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        self.scheme == scheme
            && self.port.is_none_or(|own| own == port)
            && match &self.host {
                HostPattern::Any => true,
                HostPattern::Below(parent) => is_below(host, parent),
                HostPattern::Exactly(name) => name == host,
            }
    }

    /// Whether the set names this host by itself, and not by a `*`.
    pub fn names(&self, host: &str) -> bool {
        matches!(&self.host, HostPattern::Exactly(name) if name == host)
    }

    /// Whether some destination is in both sets.
    pub fn overlaps(&self, other: &Self) -> bool {
        use HostPattern::{Any, Below, Exactly};
        let hosts = match (&self.host, &other.host) {
            (Any, _) | (_, Any) => true,
            (Exactly(left), Exactly(right)) => left == right,
            (Exactly(name), Below(parent)) | (Below(parent), Exactly(name)) => {
                is_below(name, parent)
            }
            (Below(left), Below(right)) => {
                left == right || is_below(left, right) || is_below(right, left)
            }
        };
        let ports = match (self.port, other.port) {
            (Some(left), Some(right)) => left == right,
            (None, _) | (_, None) => true,
        };
        self.scheme == other.scheme && ports && hosts
    }
}

fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl FromStr for HttpPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "expected SCHEME://HOST[:PORT], like `https://*.example.com`";
        let (scheme, rest) = text.split_once("://").ok_or(format!("`{text}`: {example}"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(format!("`{scheme}` is not a scheme: expected http or https")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', ' ']) {
            return Err(format!(
                "`{text}`: a pattern ends after the port; this version has no rules for paths"
            ));
        }
        let (host, port) = parse_authority(rest)?;
        let port = match port {
            None => Some(scheme.port()),
            Some("*") => None,
            Some(digits) => match digits.parse() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err(format!("`{digits}` is not a port: expected 1 to 65535, or `*`")),
            },
        };
        Ok(Self { scheme, host, port })
    }
}

/// Reads the host, and finds the text of the port.
fn parse_authority(authority: &str) -> Result<(HostPattern, Option<&str>), String> {
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
        return Ok((HostPattern::Exactly(address.to_string()), port));
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((parse_host(host)?, Some(port))),
        None => Ok((parse_host(authority)?, None)),
    }
}

fn parse_host(host: &str) -> Result<HostPattern, String> {
    if host == "*" {
        return Ok(HostPattern::Any);
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
    Ok(if below { HostPattern::Below(name) } else { HostPattern::Exactly(name) })
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://", self.scheme.name())?;
        match &self.host {
            HostPattern::Any => formatter.write_str("*")?,
            HostPattern::Below(parent) => write!(formatter, "*.{parent}")?,
            HostPattern::Exactly(name) if name.contains(':') => write!(formatter, "[{name}]")?,
            HostPattern::Exactly(name) => formatter.write_str(name)?,
        }
        match self.port {
            None => formatter.write_str(":*"),
            Some(port) if port == self.scheme.port() => Ok(()),
            Some(port) => write!(formatter, ":{port}"),
        }
    }
}

impl Serialize for HttpPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HttpPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn pattern(text: &str) -> HttpPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_matches_its_scheme_host_and_port_only() {
        let api = pattern("https://api.example.com");
        assert!(api.matches(Scheme::Https, "api.example.com", 443));
        assert!(!api.matches(Scheme::Http, "api.example.com", 443));
        assert!(!api.matches(Scheme::Https, "api.example.com", 8443));
        assert!(!api.matches(Scheme::Https, "api.example.com.evil.net", 443));
    }

    #[test]
    fn a_star_stands_for_names_below_and_not_for_the_name_itself() {
        let below = pattern("https://*.example.com");
        assert!(below.matches(Scheme::Https, "a.b.example.com", 443));
        assert!(!below.matches(Scheme::Https, "example.com", 443));
        assert!(!below.matches(Scheme::Https, "evilexample.com", 443));
        assert!(!below.matches(Scheme::Https, ".example.com", 443));
    }

    #[test]
    fn any_port_must_be_said() {
        assert!(!pattern("http://*").matches(Scheme::Http, "127.0.0.1", 8080));
        assert!(pattern("http://*:*").matches(Scheme::Http, "127.0.0.1", 8080));
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in ["https://*", "http://*:*", "http://[::1]:8080", "https://*.example.com:8443"] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn brackets_hold_an_address_and_nothing_else() {
        for text in [
            "http://[*.::1]",
            "http://[example.com]",
            "http://[]",
            "http://[::1]8080",
            "http://[::1]]",
            "http://[::1",
            "http://::1",
            "http://a:b:80",
        ] {
            assert!(text.parse::<HttpPattern>().is_err(), "{text}");
        }
        assert_eq!(pattern("http://[::1]:*").to_string(), "http://[::1]:*");
    }

    #[test]
    fn an_address_matches_however_it_is_written() {
        let long = pattern("https://[2001:DB8:0:0::0001]");
        assert_eq!(long, pattern("https://[2001:db8::1]:443/"));
        assert!(long.matches(Scheme::Https, "2001:db8::1", 443));
    }

    #[test]
    fn a_pattern_with_a_path_or_userinfo_is_refused() {
        for text in [
            "https://example.com/v1",
            "https://user@example.com",
            "ftp://example.com",
            "example.com",
        ] {
            assert!(text.parse::<HttpPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_grant_that_cannot_be_enforced_is_refused() {
        let error = "secret=api_key".parse::<Grant>().unwrap_err().to_string();
        assert!(error.contains("cannot enforce `secret`"), "{error}");
        assert!("http".parse::<Grant>().unwrap_err().to_string().contains("KIND=VALUE"));
    }

    #[test]
    fn a_grant_counts_only_for_what_was_asked() {
        let asked = Capabilities { http: vec![pattern("https://*")], ..Capabilities::default() };
        assert!("http=https://example.com".parse::<Grant>().unwrap().is_asked(&asked));
        assert!(!"http=http://example.com".parse::<Grant>().unwrap().is_asked(&asked));
        assert!(!"fs.in=.".parse::<Grant>().unwrap().is_asked(&asked));
    }

    /// What is written is stored, so it must be readable whatever was read.
    fn reads_back(text: &str) -> bool {
        let pattern = text.parse::<HttpPattern>();
        let grant = text.parse::<Grant>();
        pattern.is_ok_and(|pattern| pattern.to_string().parse() == Ok(pattern))
            || grant.is_ok_and(|grant| grant.to_string().parse() == Ok(grant))
    }

    proptest! {
        #[test]
        fn a_pattern_that_parses_reads_back_as_written(
            text in r"https?://(\*\.|\[|\[\*\.)?[a-cA-C0-9.:_*-]{0,9}\]?(:(\*|[0-9]{1,5}))?/?"
        ) {
            prop_assert!(text.parse::<HttpPattern>().is_err() || reads_back(&text));
        }

        #[test]
        fn a_grant_that_parses_reads_back_as_written(
            text in r"(http=https?://(\*\.|\[)?[a-c:.]{0,5}\]?(:\*)?|(fs\.in|env|http)=?\PC{0,9})"
        ) {
            prop_assert!(text.parse::<Grant>().is_err() || reads_back(&text));
        }

        #[test]
        fn every_address_is_a_pattern(bits: u128, port in 1..=u16::MAX) {
            let address = Ipv6Addr::from(bits);
            let read = pattern(&format!("http://[{address}]:{port}"));
            prop_assert!(read.matches(Scheme::Http, &address.to_string(), port));
            prop_assert_eq!(&pattern(&read.to_string()), &read);
        }
    }
}
