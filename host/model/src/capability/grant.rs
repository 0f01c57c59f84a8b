//! What the operator allows.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;

use super::asked::{ANY_SECRET, Capabilities, check_secret_name};
use super::http::HttpPattern;
use super::net::NetPattern;
use super::socket::SocketPattern;
use super::tcp::TcpPattern;

/// One thing that the operator allows a plugin, written `KIND=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("pattern" = "^(http|tcp|sockets|net|fs\\.in|env|secret|secret-value)=.", "examples" = ["http=GET https://api.example.com/v1"]))]
pub enum Grant {
    /// HTTP requests that match: `http=https://*.example.com`. With the scheme `https+insecure` the
    /// certificate of the server is not verified.
    Http(HttpPattern),
    /// TCP connections by name, made and secured by the host: `tcp=smtp.example.com:587`.
    Tcp(TcpPattern),
    /// Raw sockets to these addresses: `sockets=10.0.0.0/8:5432`. The host sees no names and no
    /// TLS of what goes through them.
    Sockets(SocketPattern),
    /// Addresses that are not public, for destinations that are granted: `net=10.0.0.0/8`.
    Net(NetPattern),
    /// The files below this folder of the host, read-only at `/in`: `fs.in=PATH`.
    FsIn(String),
    /// The host's value of this environment variable: `env=LANG`.
    Env(String),
    /// This secret, filled in by the host on its way out: `secret=api_key`. The plugin holds a
    /// placeholder.
    Secret(String),
    /// This secret, in the plugin's own memory: `secret-value=api_key`.
    SecretValue(String),
}

impl Grant {
    /// Whether the manifest asks for anything that this grant could allow.
    pub fn is_asked(&self, asked: &Capabilities) -> bool {
        match self {
            Self::Http(granted) => asked.http.iter().any(|pattern| pattern.overlaps(granted)),
            Self::Tcp(granted) => asked.tcp.iter().any(|pattern| pattern.overlaps(granted)),
            Self::Sockets(granted) => asked.sockets.iter().any(|pattern| pattern.overlaps(granted)),
            Self::Net(_) => !asked.http.is_empty() || !asked.tcp.is_empty(),
            Self::FsIn(_) => asked.fs.is_in_read,
            Self::Env(name) => asked.env.contains(name),
            Self::Secret(name) => asked.asks_secret(name),
            Self::SecretValue(name) => asked.secret_values.contains(name),
        }
    }

    /// The grants that would allow all that is asked for, but a folder for `/in` and [any
    /// secret](ANY_SECRET): only the operator knows which.
    pub fn all_of(asked: &Capabilities) -> Vec<Self> {
        let mut grants: Vec<Self> = asked.http.iter().cloned().map(Self::Http).collect();
        grants.extend(asked.tcp.iter().cloned().map(Self::Tcp));
        grants.extend(asked.sockets.iter().cloned().map(Self::Sockets));
        grants.extend(asked.env.iter().cloned().map(Self::Env));
        let named = asked.secrets.iter().filter(|name| *name != ANY_SECRET);
        grants.extend(named.cloned().map(Self::Secret));
        grants.extend(asked.secret_values.iter().cloned().map(Self::SecretValue));
        grants
    }

    /// Whether the operator should think twice, and why.
    pub fn warning(&self) -> Option<&'static str> {
        match self {
            Self::Sockets(_) => Some(
                "through raw sockets the host sees only addresses: no names, no TLS, no content",
            ),
            Self::SecretValue(_) => Some(
                "the plugin holds the value of the secret, and may send it wherever it may send \
                 anything",
            ),
            Self::Http(pattern) if pattern.is_insecure() => Some(
                "the certificate of the server is not verified: whoever is on the way can read and \
                 change everything",
            ),
            Self::Http(_)
            | Self::Tcp(_)
            | Self::Net(_)
            | Self::FsIn(_)
            | Self::Env(_)
            | Self::Secret(_) => None,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(pattern) => write!(formatter, "http={pattern}"),
            Self::Tcp(pattern) => write!(formatter, "tcp={pattern}"),
            Self::Sockets(pattern) => write!(formatter, "sockets={pattern}"),
            Self::Net(pattern) => write!(formatter, "net={pattern}"),
            Self::FsIn(path) => write!(formatter, "fs.in={path}"),
            Self::Env(name) => write!(formatter, "env={name}"),
            Self::Secret(name) => write!(formatter, "secret={name}"),
            Self::SecretValue(name) => write!(formatter, "secret-value={name}"),
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
            "tcp" => value.parse().map(Self::Tcp).map_err(invalid),
            "sockets" => value.parse().map(Self::Sockets).map_err(invalid),
            "net" => value.parse().map(Self::Net).map_err(invalid),
            "fs.in" => Ok(Self::FsIn(value.to_owned())),
            "env" => Ok(Self::Env(value.to_owned())),
            "secret" => check_secret_name(value).map(Self::Secret).map_err(invalid),
            "secret-value" => check_secret_name(value).map(Self::SecretValue).map_err(invalid),
            "fs.out" | "fs.scratch" => Err(invalid(format!(
                "`{kind}` needs no grant: the folder is the task's own, and has a limit"
            ))),
            _ => Err(invalid(format!(
                "`{kind}` is not a kind: expected http, tcp, sockets, net, fs.in, env, secret or \
                 secret-value"
            ))),
        }
    }
}

super::text::as_text!(Grant);

/// The text is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grant `{text}`: {reason}")]
pub struct InvalidGrant {
    text: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn a_grant_is_written_as_it_was_read() {
        for text in [
            "http=GET https://example.com/v1",
            "http=https+insecure://10.0.0.5:8443",
            "tcp=smtp.example.com:587",
            "sockets=10.0.0.0/8:5432",
            "net=127.0.0.1",
            "net=db.internal",
            "fs.in=/srv/data",
            "env=LANG",
            "secret=api_key",
            "secret-value=api_key",
        ] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_grant_says_what_is() {
        let refused = |text: &str| text.parse::<Grant>().unwrap_err().to_string();
        assert!(refused("http").contains("KIND=VALUE"));
        assert!(refused("fs.out=/tmp").contains("needs no grant"));
        assert!(refused("udp=1.1.1.1:53").contains("is not a kind"));
        assert!(refused("secret=../x").contains("is not the name of a secret"));
    }

    #[test]
    fn all_that_is_asked_for_can_be_granted_but_folders() {
        let (env, secrets) = (vec!["LANG".to_owned()], vec!["key".to_owned()]);
        let fs = super::super::Folders { is_in_read: true, ..Default::default() };
        let asked = Capabilities { fs, env, secrets, ..Capabilities::default() };
        let all = Grant::all_of(&asked);
        assert_eq!(
            all.iter().map(Grant::to_string).collect::<Vec<_>>(),
            ["env=LANG", "secret=key"]
        );
        assert!(all.iter().all(|grant| grant.is_asked(&asked)));
    }

    #[test]
    fn any_secret_is_asked_for_and_each_granted_by_its_name() {
        let asked = Capabilities { secrets: vec!["*".to_owned()], ..Capabilities::default() };
        assert_eq!(Grant::all_of(&asked), []);
        assert!("secret=key".parse::<Grant>().unwrap().is_asked(&asked));
        assert!("secret=*".parse::<Grant>().is_err());
    }

    #[test]
    fn what_gives_away_more_than_it_seems_is_warned_of() {
        let warned = |text: &str| text.parse::<Grant>().unwrap().warning().is_some();
        assert!(warned("http=https+insecure://10.0.0.5") && warned("secret-value=key"));
        assert!(!warned("http=https://10.0.0.5") && !warned("secret=key"));
    }

    #[test]
    fn a_grant_counts_only_for_what_was_asked() {
        let http = vec!["https://*".parse().unwrap()];
        let secrets = vec!["api_key".to_owned()];
        let asked = Capabilities { http, secrets, ..Capabilities::default() };
        let is_asked = |text: &str| text.parse::<Grant>().unwrap().is_asked(&asked);
        assert!(is_asked("http=https://example.com"));
        assert!(is_asked("net=10.0.0.0/8"));
        assert!(is_asked("secret=api_key"));
        for text in [
            "http=http://example.com",
            "fs.in=.",
            "tcp=a.example:25",
            "sockets=10.0.0.1:25",
            "secret-value=api_key",
            "env=LANG",
        ] {
            assert!(!is_asked(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_grant_that_parses_reads_back_as_written(
            text in r"(http=https?://(\*\.|\[)?[a-c:.]{0,5}\]?(:\*)?|(fs\.in|env|http|net|tcp|sockets|secret)=?\PC{0,9})"
        ) {
            let read = text.parse::<Grant>();
            prop_assert!(read.is_err() || read.is_ok_and(|read| read.to_string().parse() == Ok(read)));
        }
    }
}
