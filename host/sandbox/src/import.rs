//! What a component can import, by what it gives.

use std::fmt;

use apflow_model::capability::Capabilities;

/// What an import gives its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) fn of(interface: &str) -> Self {
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

    pub(crate) fn is_asked(self, asked: &Capabilities) -> bool {
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

    /// What to write in the manifest, or why there is nothing to write.
    fn remedy(self) -> &'static str {
        match self {
            Self::Task | Self::Base => "needs nothing",
            Self::Clocks => "needs `capabilities: { clocks: true }`",
            Self::Random => "needs `capabilities: { random: true }`",
            Self::Files => "needs `capabilities: { fs: { in: read } }`",
            Self::Http => "needs `capabilities: { http: [\"https://…\"] }`",
            Self::Tcp => "needs `capabilities: { tcp: [\"HOST:PORT\"] }`",
            Self::Secrets => "needs `capabilities: { secrets: [NAME] }`",
            Self::Sockets => {
                "needs `capabilities: { sockets: [\"ADDRESS:PORT\"] }`, or better `tcp` and \
                 `apflow:plugin/dial`"
            }
            Self::Unknown => "is not known to this host",
        }
    }
}

/// An interface that a component imports functions of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The interface with its version, for example `wasi:clocks/monotonic-clock@0.2.6`.
    pub interface: String,
    /// What it gives.
    pub family: Family,
}

/// An import that the manifest does not ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcessImport(pub Import);

impl fmt::Display for ExcessImport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}", self.0.interface, self.0.family.remedy())
    }
}
