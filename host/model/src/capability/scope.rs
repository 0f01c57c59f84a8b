//! What one attempt may do: asked for, granted, and not given up by its task.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::asked::Capabilities;
use super::grant::Grant;
use super::http::{HttpPattern, HttpTarget};
use super::socket::SocketPattern;
use super::tcp::TcpPattern;

/// What one attempt may do.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The plugin, as its manifest names it.
    pub plugin: Arc<str>,
    /// What its manifest asks for.
    pub asked: Arc<Capabilities>,
    /// What the operator allows.
    pub granted: Arc<[Grant]>,
    /// What the task keeps of that. None for all of it.
    pub narrowed: Option<Arc<[Grant]>>,
}

/// Why something was refused, and what would allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What was wanted, as the subject of a sentence: `a request to https://example.com`.
    wanted: String,
    /// What is missing.
    missing: Missing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Missing {
    /// The manifest does not ask for it. The plugin, and the key to write it under.
    Asking(String, &'static str),
    /// Nobody granted it. What to grant.
    Grant(String),
    /// The task gave it up.
    Narrowed(String),
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} was refused: ", self.wanted)?;
        match &self.missing {
            Missing::Asking(plugin, key) => {
                write!(formatter, "the plugin.yaml of `{plugin}` does not ask for it under `{key}`")
            }
            Missing::Grant(grant) if grant.contains(' ') => {
                write!(formatter, "allow it with `--grant '{grant}'`")
            }
            Missing::Grant(grant) => write!(formatter, "allow it with `--grant {grant}`"),
            Missing::Narrowed(grant) => {
                write!(formatter, "the task gave it up; add `{grant}` to its `allow`")
            }
        }
    }
}

impl Scope {
    /// Whether a request may be sent.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit_http(&self, to: &HttpTarget) -> Result<(), Denial> {
        let granted = self.granted.iter().filter_map(|grant| match grant {
            Grant::Http(pattern) => Some(pattern),
            Grant::Tcp(_)
            | Grant::Sockets(_)
            | Grant::Net(_)
            | Grant::FsIn(_)
            | Grant::Env(_)
            | Grant::Secret(_)
            | Grant::SecretValue(_) => None,
        });
        let reaches = |pattern: &HttpPattern| pattern.reaches(to.scheme, &to.host, to.port);
        // Where method or path made the difference, they are part of the answer.
        let is_particular = self
            .asked
            .http
            .iter()
            .chain(granted)
            .any(|pattern| reaches(pattern) && !pattern.matches(to));
        let wanted = if is_particular {
            HttpPattern::only(to)
        } else {
            HttpPattern::exactly(to.scheme, &to.host, to.port)
        };
        self.admit(
            format!("a request to {wanted}"),
            "capabilities.http",
            self.asked.http.iter().any(|asked| asked.matches(to)),
            || Grant::Http(wanted.clone()).to_string(),
            |grant| matches!(grant, Grant::Http(granted) if granted.matches(to)),
        )
    }

    /// Whether the host may open a TCP connection to a name. `host` is lower case, without brackets.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit_tcp(&self, host: &str, port: u16) -> Result<(), Denial> {
        let destination = TcpPattern::exactly(host, port);
        self.admit(
            format!("a connection to {destination}"),
            "capabilities.tcp",
            self.asked.tcp.iter().any(|asked| asked.matches(host, port)),
            || Grant::Tcp(destination.clone()).to_string(),
            |grant| matches!(grant, Grant::Tcp(granted) if granted.matches(host, port)),
        )
    }

    /// Whether a raw socket may connect to an address.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit_socket(&self, address: SocketAddr) -> Result<(), Denial> {
        let destination = SocketPattern::exactly(address);
        self.admit(
            format!("a socket to {destination}"),
            "capabilities.sockets",
            self.asked.sockets.iter().any(|asked| asked.matches(address)),
            || Grant::Sockets(destination.clone()).to_string(),
            |grant| matches!(grant, Grant::Sockets(granted) if granted.matches(address)),
        )
    }

    /// Whether a destination that is admitted by its name may be reached at an address that is not
    /// public: a grant names the address itself, or opens it.
    ///
    /// `literal` says whether a granted pattern names this host by itself, and not by a `*`. The
    /// name `localhost` is a name for loopback addresses.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit_private(
        &self,
        host: &str,
        address: IpAddr,
        names: impl Fn(&Grant, &str) -> bool,
    ) -> Result<(), Denial> {
        let literal = address.to_canonical().to_string();
        let is_localhost = host == "localhost" && address.is_loopback();
        self.admit(
            format!("the address {literal} of {host}, which is not public,"),
            "capabilities",
            true,
            || format!("net={literal}"),
            |grant| {
                matches!(grant, Grant::Net(net) if net.matches(host, address))
                    || names(grant, &literal)
                    || (is_localhost && names(grant, host))
            },
        )
    }

    /// Whether a variable of the host's environment may be read. No denial: what is not there
    /// cannot be told from what was never set.
    pub fn admits_env(&self, name: &str) -> bool {
        self.asked.env.iter().any(|asked| asked == name)
            && self.has(|grant| matches!(grant, Grant::Env(granted) if granted == name))
    }

    /// The folder of the host to mount at `/in`: the last one that was granted, if the plugin asks
    /// for one.
    pub fn folder(&self) -> Option<&str> {
        if !self.asked.fs.is_in_read {
            return None;
        }
        let granted = self.granted.iter().rev().filter(|grant| self.keeps(grant));
        granted.clone().find_map(|grant| match grant {
            Grant::FsIn(path) => Some(path.as_str()),
            Grant::Http(_)
            | Grant::Tcp(_)
            | Grant::Sockets(_)
            | Grant::Net(_)
            | Grant::Env(_)
            | Grant::Secret(_)
            | Grant::SecretValue(_) => None,
        })
    }

    /// Whether a secret may be filled in by the host.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit_secret(&self, name: &str) -> Result<(), Denial> {
        self.admit(
            format!("the secret `{name}`"),
            "capabilities.secrets",
            self.asked.asks_secret(name),
            || Grant::Secret(name.to_owned()).to_string(),
            |grant| matches!(grant, Grant::Secret(granted) if granted == name),
        )
    }

    /// Whether the value of a secret may come into the plugin's memory.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit_secret_value(&self, name: &str) -> Result<(), Denial> {
        self.admit(
            format!("the value of the secret `{name}`"),
            "capabilities.secret_values",
            self.asked.secret_values.iter().any(|asked| asked == name),
            || Grant::SecretValue(name.to_owned()).to_string(),
            |grant| matches!(grant, Grant::SecretValue(granted) if granted == name),
        )
    }

    fn admit(
        &self,
        wanted: String,
        key: &'static str,
        is_asked: bool,
        grant: impl Fn() -> String,
        allows: impl Fn(&Grant) -> bool,
    ) -> Result<(), Denial> {
        let missing = if !is_asked {
            Missing::Asking(self.plugin.to_string(), key)
        } else if !self.granted.iter().any(&allows) {
            Missing::Grant(grant())
        } else if self.narrowed.as_ref().is_some_and(|kept| !kept.iter().any(&allows)) {
            Missing::Narrowed(grant())
        } else {
            return Ok(());
        };
        Err(Denial { wanted, missing })
    }

    fn has(&self, allows: impl Fn(&Grant) -> bool) -> bool {
        self.granted.iter().any(&allows)
            && self.narrowed.as_ref().is_none_or(|kept| kept.iter().any(&allows))
    }

    fn keeps(&self, granted: &Grant) -> bool {
        self.narrowed.as_ref().is_none_or(|kept| kept.contains(granted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::http::Scheme;

    fn scope(asked: &[&str], granted: &[&str], narrowed: Option<&[&str]>) -> Scope {
        let grants = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let http = asked.iter().map(|text| text.parse().unwrap()).collect();
        Scope {
            plugin: "own".into(),
            asked: Arc::new(Capabilities { http, ..Capabilities::default() }),
            granted: grants(granted),
            narrowed: narrowed.map(grants),
        }
    }

    fn target(method: &str, host: &str, path: &str) -> HttpTarget {
        HttpTarget {
            method: method.to_owned(),
            scheme: Scheme::Https,
            host: host.to_owned(),
            port: 443,
            path: path.to_owned(),
        }
    }

    fn refused(scope: &Scope, to: &HttpTarget) -> String {
        scope.admit_http(to).unwrap_err().to_string()
    }

    #[test]
    fn a_request_must_be_asked_for_and_granted() {
        let to = target("GET", "a.example", "/");
        let nothing = scope(&[], &["http=https://a.example"], None);
        assert!(refused(&nothing, &to).contains("does not ask for it under `capabilities.http`"));
        let asked = scope(&["https://*"], &[], None);
        assert!(refused(&asked, &to).ends_with("allow it with `--grant http=https://a.example`"));
        assert!(scope(&["https://*"], &["http=https://*.example"], None).admit_http(&to).is_ok());
    }

    #[test]
    fn a_task_can_only_give_up() {
        let to = target("GET", "a.example", "/");
        let kept = scope(&["https://*"], &["http=https://*"], Some(&["http=https://a.example"]));
        assert!(kept.admit_http(&to).is_ok());
        let other = target("GET", "b.example", "/");
        assert!(refused(&kept, &other).contains("add `http=https://b.example` to its `allow`"));
        let more = scope(&["https://*"], &[], Some(&["http=https://a.example"]));
        assert!(refused(&more, &to).contains("--grant"));
    }

    #[test]
    fn a_denial_by_method_or_path_says_them() {
        let scope = scope(&["GET https://a.example/v1"], &["http=https://*"], None);
        assert!(scope.admit_http(&target("GET", "a.example", "/v1/items")).is_ok());
        let text = refused(&scope, &target("POST", "a.example", "/v1/items"));
        assert!(text.contains("POST https://a.example/v1/items"), "{text}");
        assert!(scope.admit_http(&target("GET", "a.example", "/v10")).is_err());
    }

    #[test]
    fn a_private_address_is_opened_by_its_own_grant_alone() {
        let names = |grant: &Grant, host: &str| matches!(grant, Grant::Http(pattern) if pattern.names(host));
        let private = |granted: &[&str], host: &str, address: &str| {
            let scope = scope(&["http://*:*"], granted, None);
            scope.admit_private(host, address.parse().unwrap(), names).is_ok()
        };
        assert!(!private(&["http=http://db.internal"], "db.internal", "10.0.0.1"));
        assert!(private(&["net=10.0.0.0/8"], "db.internal", "10.0.0.1"));
        assert!(private(&["net=db.internal"], "db.internal", "10.0.0.1"));
        assert!(!private(&["net=db.internal"], "other.internal", "10.0.0.1"));
        assert!(private(&["http=http://127.0.0.1:80"], "127.0.0.1", "127.0.0.1"));
        assert!(private(&["http=http://localhost"], "localhost", "127.0.0.1"));
        assert!(!private(&["http=http://localhost"], "localhost", "10.0.0.1"));
    }

    #[test]
    fn the_last_granted_folder_that_the_task_keeps_counts() {
        let fs = super::super::Folders { is_in_read: true, ..Default::default() };
        let asked = Arc::new(Capabilities { fs, ..Capabilities::default() });
        let granted = ["fs.in=/a", "fs.in=/b"].map(|text| text.parse().unwrap());
        let scope = Scope { asked, ..scope(&[], &[], None) };
        let scope = Scope { granted: granted.into(), ..scope };
        assert_eq!(scope.folder(), Some("/b"));
        let narrowed: Arc<[Grant]> = ["fs.in=/a".parse().unwrap()].into();
        assert_eq!(Scope { narrowed: Some(narrowed), ..scope }.folder(), Some("/a"));
    }
}
