//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::Scheme;
use serde::Deserialize;

/// The URL of a server: `http://HOST:PORT` or `https://HOST`, perhaps with a path that its API is
/// below.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ServerUrl {
    text: String,
    pub(super) is_tls: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in the header `Host`.
    pub(super) authority: String,
    /// Without a slash at its end.
    pub(super) path: String,
}

impl ServerUrl {
    /// Whether it is on this machine.
    pub(crate) fn is_here(&self) -> bool {
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            // It may hold a password, so it is not repeated.
            "expected the URL of a server, `http://HOST:PORT` or `https://HOST`, without user, \
             password or query"
                .to_owned()
        };
        let uri: Uri = text.parse().map_err(|_| fault())?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(fault()),
        };
        let authority = uri.authority().ok_or_else(fault)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(fault());
        }
        let names_port = authority.as_str().len() > authority.host().len();
        if names_port && authority.port_u16().is_none() {
            return Err(fault());
        }
        Ok(Self {
            text: text.trim_end_matches('/').to_owned(),
            is_tls,
            // An address of version 6 stands in brackets in a URL, and nowhere else.
            host: authority.host().trim_matches(['[', ']']).to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_a_url_of_http() {
        let url = |text: &str| text.parse::<ServerUrl>().unwrap();
        let plain = url("http://127.0.0.1:8000/");
        assert_eq!((&*plain.host, plain.port, &*plain.path), ("127.0.0.1", 8000, ""));
        assert!(
            plain.is_here()
                && url("http://[::1]:1").is_here()
                && url("https://localhost").is_here()
        );
        let far = url("https://Host.example/apflow/");
        assert_eq!((&*far.host, far.port, &*far.path), ("host.example", 443, "/apflow"));
        assert!(far.is_tls && !far.is_here());
        assert_eq!(far.to_string(), "https://Host.example/apflow");
    }

    #[test]
    fn what_names_no_server_is_refused_without_being_repeated() {
        for wrong in [
            "",
            "127.0.0.1:8000",
            "ftp://a",
            "/api",
            "https://me:secret@host",
            "http://a?b=c",
            "http://a:b",
        ] {
            let fault = wrong.parse::<ServerUrl>().unwrap_err();
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
