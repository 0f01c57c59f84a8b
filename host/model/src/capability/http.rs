//! Destinations of HTTP requests.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;

use super::host::HostPattern;
use super::path::PathPrefix;
use super::port::PortPattern;

/// The scheme of an HTTP destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS, with a certificate that is verified.
    Https,
    /// Over TLS, whoever answers: the certificate is not verified.
    HttpsInsecure,
}

impl Scheme {
    /// The word before `://`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::HttpsInsecure => "https+insecure",
        }
    }

    /// The port when none is written.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https | Self::HttpsInsecure => 443,
        }
    }

    /// Reads the word before `://`.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::HttpsInsecure].into_iter().find(|own| own.name() == name)
    }
}

/// A request, as far as a pattern looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// Its method, in capitals.
    pub method: String,
    /// Its scheme.
    pub scheme: Scheme,
    /// Its host: lower case, without brackets and without a final dot.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its path as [`normal_path`](super::normal_path) makes it, without the query.
    pub path: String,
}

/// A set of HTTP requests: `https://api.example.com`, `https://*.example.com`,
/// `http://127.0.0.1:8080`, `http://[::1]`, `http://*:*`, `GET,HEAD https://api.example.com/v1/`,
/// `https+insecure://10.0.0.5:8443`.
///
/// Schemes do not hold one another: who may ask for `https` may not leave out the verification of
/// the certificate, and who may do that may not ask for `https`.
///
/// A host is a name, an address, `*.` and a name (any name below it), or `*` (any host). An IPv6
/// address stands in brackets, and nothing else does. Without a port it is the scheme's own; `:*`
/// is any port. A path is a prefix of whole segments: `/v1` holds `/v1` and `/v1/items`, but not
/// `/v10`. Methods stand before, with commas between them; without them it is any method. What is
/// read is written as something that reads back as the same.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("examples" = ["GET https://api.example.com/v1"]))]
pub struct HttpPattern {
    /// None for any method.
    methods: Option<Vec<String>>,
    scheme: Scheme,
    host: HostPattern,
    port: PortPattern,
    path: PathPrefix,
}

impl HttpPattern {
    /// The pattern that matches this one destination only, whatever the method and the path.
    /// `host` is lower case, without brackets.
    pub fn exactly(scheme: Scheme, host: &str, port: u16) -> Self {
        Self {
            methods: None,
            scheme,
            host: HostPattern::Exactly(host.to_owned()),
            port: PortPattern::Exactly(port),
            path: PathPrefix::default(),
        }
    }

    /// The pattern of requests like this one: its method, its destination, and its path.
    pub fn only(to: &HttpTarget) -> Self {
        Self {
            methods: Some(vec![to.method.clone()]),
            // A path that cannot be a prefix is left out.
            path: PathPrefix::parse(&to.path).unwrap_or_default(),
            ..Self::exactly(to.scheme, &to.host, to.port)
        }
    }

    /// Whether this request is in the set.
    pub fn matches(&self, to: &HttpTarget) -> bool {
        self.reaches(to.scheme, &to.host, to.port)
            && self.methods.as_ref().is_none_or(|methods| methods.contains(&to.method))
            && self.path.matches(&to.path)
    }

    /// Whether some request to this destination is in the set. `host` is lower case, without
    /// brackets.
    pub fn reaches(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        self.scheme == scheme && self.host.matches(host) && self.port.matches(port)
    }

    /// Whether the set names this host by itself, and not by a `*`.
    pub fn names(&self, host: &str) -> bool {
        matches!(&self.host, HostPattern::Exactly(name) if name == host)
    }

    /// Whether it holds requests to whoever answers.
    pub fn is_insecure(&self) -> bool {
        self.scheme == Scheme::HttpsInsecure
    }

    /// Whether some request is in both sets.
    pub fn overlaps(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (Some(left), Some(right)) => left.iter().any(|method| right.contains(method)),
            (None, _) | (_, None) => true,
        };
        methods
            && self.scheme == other.scheme
            && self.host.overlaps(&other.host)
            && self.port.overlaps(other.port)
            && self.path.overlaps(&other.path)
    }

    /// Whether every request of the other set is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(methods)) => methods.iter().all(|method| own.contains(method)),
        };
        methods
            && self.scheme == other.scheme
            && self.host.covers(&other.host)
            && self.port.covers(other.port)
            && self.path.covers(&other.path)
    }
}

impl FromStr for HttpPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (methods, url) = match text.split_once(' ') {
            Some((methods, url)) => (Some(parse_methods(methods)?), url),
            None => (None, text),
        };
        let example =
            "expected [METHODS ]SCHEME://HOST[:PORT][/PATH], like `https://*.example.com`";
        let (scheme, rest) = url.split_once("://").ok_or(format!("`{text}`: {example}"))?;
        let scheme = Scheme::find(scheme).ok_or_else(|| {
            format!("`{scheme}` is not a scheme: expected http, https or https+insecure")
        })?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains(['?', '#', '@', ' ']) {
            return Err(format!("`{text}`: {example}"));
        }
        let (host, port) = HostPattern::parse_authority(authority)?;
        let port = match port {
            None => PortPattern::Exactly(scheme.port()),
            Some(port) => PortPattern::parse(port)?,
        };
        Ok(Self { methods, scheme, host, port, path: PathPrefix::parse(path)? })
    }
}

fn parse_methods(text: &str) -> Result<Vec<String>, String> {
    let is_method = |method: &str| {
        !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase() || c == '-')
    };
    let methods: Vec<&str> = text.split(',').collect();
    match methods.iter().find(|method| !is_method(method)) {
        None => Ok(methods.into_iter().map(str::to_owned).collect()),
        Some(method) => Err(format!(
            "`{method}` is not a method: expected capitals with commas between them and a space \
             after, like `GET,HEAD https://example.com`"
        )),
    }
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(methods) = &self.methods {
            write!(formatter, "{} ", methods.join(","))?;
        }
        write!(formatter, "{}://{}", self.scheme.name(), self.host)?;
        if self.port != PortPattern::Exactly(self.scheme.port()) {
            write!(formatter, ":{}", self.port)?;
        }
        write!(formatter, "{}", self.path)
    }
}

super::text::as_text!(HttpPattern);

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn pattern(text: &str) -> HttpPattern {
        text.parse().unwrap()
    }

    fn get(path: &str) -> HttpTarget {
        HttpTarget {
            method: "GET".to_owned(),
            scheme: Scheme::Https,
            host: "api.example.com".to_owned(),
            port: 443,
            path: path.to_owned(),
        }
    }

    #[test]
    fn a_pattern_matches_its_scheme_host_and_port_only() {
        let api = pattern("https://api.example.com");
        assert!(api.reaches(Scheme::Https, "api.example.com", 443));
        assert!(!api.reaches(Scheme::Http, "api.example.com", 443));
        assert!(!api.reaches(Scheme::Https, "api.example.com", 8443));
        assert!(!api.reaches(Scheme::Https, "api.example.com.evil.net", 443));
    }

    #[test]
    fn verification_is_left_out_by_its_own_scheme_alone() {
        let insecure = pattern("https+insecure://*:*");
        assert!(insecure.reaches(Scheme::HttpsInsecure, "10.0.0.5", 8443));
        assert!(!insecure.reaches(Scheme::Https, "10.0.0.5", 8443));
        let verified = pattern("https://*:*");
        assert!(!verified.reaches(Scheme::HttpsInsecure, "10.0.0.5", 8443));
        assert!(!verified.covers(&insecure) && !verified.overlaps(&insecure));
        assert!(pattern("https+insecure://a.example").reaches(
            Scheme::HttpsInsecure,
            "a.example",
            443
        ));
    }

    #[test]
    fn a_star_stands_for_names_below_and_not_for_the_name_itself() {
        let below = pattern("https://*.example.com");
        assert!(below.reaches(Scheme::Https, "a.b.example.com", 443));
        assert!(!below.reaches(Scheme::Https, "example.com", 443));
        assert!(!below.reaches(Scheme::Https, "evilexample.com", 443));
        assert!(!below.reaches(Scheme::Https, ".example.com", 443));
    }

    #[test]
    fn methods_and_path_are_part_of_a_pattern() {
        let items = pattern("GET,HEAD https://api.example.com/v1/items");
        assert!(items.matches(&get("/v1/items/7")));
        assert!(!items.matches(&get("/v1/other")));
        assert!(!items.matches(&HttpTarget { method: "POST".to_owned(), ..get("/v1/items") }));
        assert!(pattern("https://api.example.com").matches(&get("/whatever")));
        assert!(!items.overlaps(&pattern("POST https://api.example.com")));
        assert!(pattern("https://*").covers(&items) && !items.covers(&pattern("https://*")));
        assert!(items.covers(&pattern("GET https://api.example.com/v1/items/7")));
        assert!(!items.covers(&pattern("GET https://api.example.com")));
        assert!(!items.covers(&pattern("https://api.example.com/v1/items")));
        assert!(!items.overlaps(&pattern("https://api.example.com/v2")));
        assert!(items.overlaps(&pattern("https://*.example.com/v1")));
    }

    #[test]
    fn any_port_must_be_said() {
        assert!(!pattern("http://*").reaches(Scheme::Http, "127.0.0.1", 8080));
        assert!(pattern("http://*:*").reaches(Scheme::Http, "127.0.0.1", 8080));
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in [
            "https://*",
            "http://*:*",
            "http://[::1]:8080",
            "https://*.example.com:8443",
            "GET,HEAD https://example.com/v1/",
            "https+insecure://10.0.0.5:8443",
        ] {
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
        assert!(long.reaches(Scheme::Https, "2001:db8::1", 443));
    }

    #[test]
    fn a_pattern_with_a_query_or_userinfo_is_refused() {
        for text in [
            "https://example.com/v1?x=1",
            "https://example.com/v1/../v2",
            "get https://example.com",
            "GET, POST https://example.com",
            "https://user@example.com",
            "ftp://example.com",
            "example.com",
        ] {
            assert!(text.parse::<HttpPattern>().is_err(), "{text}");
        }
    }

    /// What is written is stored, so it must be readable whatever was read.
    fn reads_back(text: &str) -> bool {
        let pattern = text.parse::<HttpPattern>();
        pattern.is_ok_and(|pattern| pattern.to_string().parse() == Ok(pattern))
    }

    proptest! {
        #[test]
        fn a_pattern_that_parses_reads_back_as_written(
            text in r"(GET |GET,PUT )?http(s|s\+insecure)?://(\*\.|\[|\[\*\.)?[a-cA-C0-9.:_*-]{0,9}\]?(:(\*|[0-9]{1,5}))?(/|/v1|/v1/)?"
        ) {
            prop_assert!(text.parse::<HttpPattern>().is_err() || reads_back(&text));
        }

        #[test]
        fn every_address_is_a_pattern(bits: u128, port in 1..=u16::MAX) {
            let address = Ipv6Addr::from(bits);
            let read = pattern(&format!("http://[{address}]:{port}"));
            prop_assert!(read.reaches(Scheme::Http, &address.to_string(), port));
            prop_assert_eq!(&pattern(&read.to_string()), &read);
        }
    }
}
