//! What a component can import, by what it gives.
//!
//! It reads no component: the sandbox does.

use std::fmt;

use serde::Serialize;

use crate::capability::Capabilities;

/// What an import gives its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// The own package: the task's checkpoints, budget, log and control.
    Task,
    /// What every program may have: standard streams, exit, its granted environment variables,
    /// streams and polling, and the seed of hash maps.
    Base,
    /// Clocks.
    Clocks,
    /// Random numbers.
    Random,
    /// Files.
    Files,
    /// HTTP requests.
    Http,
    /// TCP connections by name.
    Tcp,
    /// Secrets.
    Secrets,
    /// Raw sockets.
    Sockets,
    /// Anything else, which this host does not have.
    Unknown,
}

impl Family {
    /// What an interface gives, by its name with or without a version.
    pub fn of(interface: &str) -> Self {
        let package = interface.split('@').next().unwrap_or(interface);
        match package {
            "wasi:random/insecure-seed" => Self::Base,
            "apflow:plugin/types"
            | "apflow:plugin/checkpoint"
            | "apflow:plugin/budget"
            | "apflow:plugin/log"
            | "apflow:plugin/control" => Self::Task,
            "apflow:plugin/dial" => Self::Tcp,
            "apflow:plugin/secret" => Self::Secrets,
            "wasi:http/types" | "wasi:http/outgoing-handler" => Self::Http,
            _ => match package.split('/').next().unwrap_or(package) {
                "wasi:cli" | "wasi:io" => Self::Base,
                "wasi:clocks" => Self::Clocks,
                "wasi:random" => Self::Random,
                "wasi:filesystem" => Self::Files,
                "wasi:sockets" => Self::Sockets,
                _ => Self::Unknown,
            },
        }
    }

    /// Whether a component that imports it has asked for enough.
    pub fn is_asked(self, asked: &Capabilities) -> bool {
        match self {
            Self::Task | Self::Base => true,
            Self::Clocks => asked.clocks,
            Self::Random => asked.random,
            Self::Files => asked.fs.is_any(),
            Self::Http => !asked.http.is_empty(),
            Self::Tcp => !asked.tcp.is_empty(),
            Self::Secrets => !asked.secrets.is_empty() || !asked.secret_values.is_empty(),
            Self::Sockets => !asked.sockets.is_empty(),
            Self::Unknown => false,
        }
    }

    /// Whether every component has it without asking.
    pub fn is_free(self) -> bool {
        matches!(self, Self::Task | Self::Base)
    }

    /// What to write below `capabilities` to have it. None when there is nothing to write.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Clocks => Some("clocks: true"),
            Self::Random => Some("random: true"),
            Self::Files => Some("fs: { in: read }"),
            Self::Http => Some("http: [\"https://…\"]"),
            Self::Tcp => Some("tcp: [\"HOST:PORT\"]"),
            Self::Secrets => Some("secrets: [NAME]"),
            Self::Sockets => Some("sockets: [\"ADDRESS:PORT\"]"),
            Self::Task | Self::Base | Self::Unknown => None,
        }
    }
}

/// An interface that a component imports functions of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The interface with its version, for example `wasi:clocks/monotonic-clock@0.2.6`.
    pub interface: String,
    /// What it gives.
    pub family: Family,
}

impl Import {
    /// The import of this interface.
    pub fn new(interface: impl Into<String>) -> Self {
        let interface = interface.into();
        Self { family: Family::of(&interface), interface }
    }
}

/// An import that the manifest does not ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcessImport(pub Import);

impl fmt::Display for ExcessImport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Import { interface, family } = &self.0;
        match family.key() {
            Some(key) => write!(formatter, "`{interface}` needs `capabilities: {{ {key} }}`")?,
            None => write!(formatter, "`{interface}` is not known to this host")?,
        }
        if *family == Family::Sockets {
            write!(formatter, ", or better `tcp` and `apflow:plugin/dial`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_belong_to_families() {
        for (interface, family) in [
            ("wasi:random/insecure-seed@0.2.6", Family::Base),
            ("wasi:random/random@0.2.6", Family::Random),
            ("wasi:cli/environment@0.2.0", Family::Base),
            ("wasi:sockets/tcp@0.2.6", Family::Sockets),
            ("wasi:http/outgoing-handler@0.2.0", Family::Http),
            ("wasi:http/incoming-handler@0.2.0", Family::Unknown),
            ("apflow:plugin/log@0.1.0", Family::Task),
            ("apflow:plugin/dial@0.1.0", Family::Tcp),
            ("acme:own/thing", Family::Unknown),
        ] {
            assert_eq!(Family::of(interface), family, "{interface}");
        }
    }
}
