//! How the host listens for HTTP: limits of a connection, TLS, proxies in front, and names.
//!
//! It opens nothing: the HTTP door does.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::proxy::{ProxyHeader, TrustedProxies};

/// How the host listens for HTTP: `http` in `config.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerSettings {
    /// The certificate and key that it shows. Plain HTTP if not set.
    pub tls: Option<TlsFiles>,
    /// Whether a proxy in front of the host keeps strangers' eyes off the connection, so that the
    /// host may listen on an open address without TLS.
    pub behind_proxy: bool,
    /// The proxies that are believed when they say whose request they pass on.
    pub trusted_proxies: TrustedProxies,
    /// Where all of them say so.
    pub proxy_header: ProxyHeader,
    /// The names that clients may call the host by, beside `localhost` and addresses.
    pub hosts: Vec<HostName>,
    /// The web pages that may use the API from a browser.
    pub origins: Vec<Origin>,
    /// How many connections are open at once, from 1 to 1000000. What the limit of open files allows
    /// if not set.
    pub connections_max: Option<Within<1, 1_000_000, 1>>,
    /// How many of them are of one address that is no proxy's. Three quarters of all if not set.
    pub connections_per_address_max: Option<Within<1, 1_000_000, 1>>,
    /// How long the head of a request may take, and a TLS handshake: 1 to 3600 seconds.
    pub head_seconds: Within<1, 3_600, 10>,
    /// How large the head of a request may be, in bytes.
    pub head_bytes_max: Within<1_024, 1_048_576, 32_768>,
    /// How many headers a request may have.
    pub headers_max: Within<16, 1_000, 100>,
    /// How long a connection may be open without a request: 1 to 3600 seconds.
    pub idle_seconds: Within<1, 3_600, 75>,
    /// How long a client may keep the host waiting, for a body or for taking the answer, beyond what
    /// `bytes_per_second_min` allows: 1 to 3600 seconds.
    pub patience_seconds: Within<1, 3_600, 30>,
    /// What a client must move on average while the host waits for it.
    pub bytes_per_second_min: Within<1, 1_000_000, 500>,
    /// How long running attempts may go on once the host is asked to end: 0 to 3600 seconds.
    pub drain_seconds: Within<0, 3_600, 30>,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// A PEM file with the certificate of the host, then those that lead to its authority.
    pub certificate: PathBuf,
    /// A PEM file with the private key of the first.
    pub key: PathBuf,
}

/// A number from `MIN` to `MAX`; `DEFAULT` without another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Within<const MIN: u32, const MAX: u32, const DEFAULT: u32>(u32);

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Within<MIN, MAX, DEFAULT> {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// So many seconds.
    pub const fn seconds(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Default for Within<MIN, MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> TryFrom<u32>
    for Within<MIN, MAX, DEFAULT>
{
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let is_right = (MIN..=MAX).contains(&number);
        is_right
            .then_some(Self(number))
            .ok_or_else(|| format!("{number} is not from {MIN} to {MAX}"))
    }
}

/// A name that clients call the host by, such as `api.example.com`: without scheme or port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostName(String);

impl HostName {
    /// Whether a client called the host so. Case does not matter, nor a dot at the end.
    pub fn is(&self, called: &str) -> bool {
        called.strip_suffix('.').unwrap_or(called).eq_ignore_ascii_case(&self.0)
    }
}

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_label = |label: &str| {
            let mut bytes = label.bytes();
            !label.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            return Ok(Self(text));
        }
        Err(format!(
            "`{text}` is no name of a host: expected one like `api.example.com`, without scheme \
             and port"
        ))
    }
}

/// Where a web page comes from, such as `https://app.example.com`: scheme, host, and port where it
/// is not that of the scheme.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// As a browser sends it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is no origin: expected one like `https://app.example.com` or \
                 `http://localhost:3000`, in small letters and without a path"
            )
        };
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or_else(expected)?;
        let is_plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte)
        };
        if rest.is_empty() || !rest.bytes().all(is_plain) {
            return Err(expected());
        }
        // A browser leaves these out, so the origin would never match.
        let is_usual = text.starts_with("https://") && rest.ends_with(":443")
            || text.starts_with("http://") && rest.ends_with(":80");
        if is_usual { Err(expected()) } else { Ok(Self(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for right in ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080"] {
            assert_eq!(Origin::try_from(right.to_owned()).unwrap().as_str(), right);
        }
        for wrong in [
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://*.example.com",
            "https://user@app.example.com",
        ] {
            assert!(Origin::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_matches_whatever_its_case() {
        let name = HostName::try_from("api.example.com".to_owned()).unwrap();
        assert!(name.is("API.example.com") && name.is("api.example.com."));
        assert!(!name.is("example.com") && !name.is("api.example.com.evil.example"));
        for wrong in ["", "https://a", "a:80", "a..b", "*.a", "a/b", "."] {
            assert!(HostName::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_are_held_to_their_ranges() {
        let read = |text: &str| serde_json::from_str::<ListenerSettings>(text);
        let usual = read("{}").unwrap();
        assert_eq!(usual.head_seconds.seconds(), Duration::from_secs(10));
        assert_eq!(usual, ListenerSettings::default());
        assert_eq!(read(r#"{"drain_seconds": 0}"#).unwrap().drain_seconds.get(), 0);
        for wrong in [
            r#"{"head_seconds": 0}"#,
            r#"{"idle_seconds": 3601}"#,
            r#"{"connections_max": 0}"#,
            r#"{"head_bytes_max": 1023}"#,
            r#"{"trusted_proxies": ["10.1.2.3/8"]}"#,
            r#"{"proxy_header": "via"}"#,
            r#"{"tls": {"certificate": "a.pem"}}"#,
            r#"{"colour": "red"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
