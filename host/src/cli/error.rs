//! What keeps the command line from doing what was typed.

use std::io;

use apflow_api::{ApiError, Code};
use apflow_model::reader::FileFault;

use super::exit::Exit;
use crate::config::ConfigError;
use crate::remote::{Refusal, RegistryError, RemoteError};

/// What keeps the command line from doing what was typed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// What was typed cannot be read.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A benchmark did not run.
    #[error("{0}")]
    Bench(String),
    /// A plugin does not build, or does not pass its own tests.
    #[error("{0}")]
    Build(String),
    /// A server in the background did not do what it was told.
    #[error("{0}")]
    Daemon(String),
    /// A file, or something like it, cannot be used.
    #[error("{what}")]
    Io {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The settings cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The verb was refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server did not do it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A registry did not give an image out, or not one of a plugin.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl CliError {
    /// The stable code, where there is one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Api(error) => Some(error.code().name()),
            Self::Remote(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::Usage(_) => Some(Code::InvalidRequest.name()),
            Self::NotFound(_)
            | Self::Bench(_)
            | Self::Build(_)
            | Self::Daemon(_)
            | Self::Io { .. }
            | Self::Config(_) => None,
        }
    }

    /// Whether a file is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The place in the operator's JSON that is wrong, as a JSON pointer.
    pub(crate) fn pointer(&self) -> Option<&str> {
        if let Self::Api(error) = self {
            error.pointer()
        } else {
            self.refusal()?.pointer.as_deref()
        }
    }

    /// How many seconds to wait before the same is tried again. None when it is of no use.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        if let Self::Api(error) = self { error.retry_after() } else { self.refusal()?.retry_after }
    }

    /// The id of the request that a server refused.
    pub(crate) fn request(&self) -> Option<&str> {
        self.refusal()?.request.as_deref()
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Remote(error) => error.advice(),
            Self::Registry(error) => error.advice(),
            Self::Io { source, .. } | Self::Config(ConfigError::Unusable { source, .. }) => {
                advice_on(source.kind())
            }
            Self::Config(ConfigError::Invalid { .. } | ConfigError::Faults { .. }) => Some(
                "correct the file: `apflow-host config explain KEY` says what a setting may be, and \
                 `apflow-host config validate` whether all is well",
            ),
            Self::Usage(_)
            | Self::NotFound(_)
            | Self::Bench(_)
            | Self::Build(_)
            | Self::Daemon(_)
            | Self::Config(_)
            | Self::Api(_) => None,
        }
    }

    /// What a server says, if it refuses.
    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Remote(error) = self { error.refusal() } else { None }
    }

    /// Every fault of a file.
    pub(crate) fn faults(&self) -> &[FileFault] {
        match self {
            Self::Api(error) => error.faults(),
            Self::Remote(RemoteError::Refused(refusal)) => &refusal.faults,
            Self::Config(error) => error.faults(),
            Self::Usage(_)
            | Self::NotFound(_)
            | Self::Bench(_)
            | Self::Build(_)
            | Self::Daemon(_)
            | Self::Io { .. }
            | Self::Remote(_)
            | Self::Registry(_) => &[],
        }
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_)
            | Self::Io { .. }
            | Self::Build(_)
            | Self::Daemon(_)
            | Self::Registry(
                RegistryError::Unknown { .. }
                | RegistryError::Invalid { .. }
                | RegistryError::Altered { .. },
            ) => Exit::Failed,
            Self::Config(_)
            | Self::Bench(_)
            | Self::Remote(RemoteError::Settings(_))
            | Self::Registry(
                RegistryError::Login { .. } | RegistryError::Remote(RemoteError::Settings(_)),
            ) => Exit::Internal,
            Self::Api(error) | Self::Remote(RemoteError::Unsendable(error)) => {
                Exit::of_code(error.code())
            }
            Self::Remote(RemoteError::Refused(refusal)) => Exit::of(&refusal.code, refusal.status),
            Self::Registry(RegistryError::Refused { .. }) => Exit::Refused,
            Self::Remote(_) | Self::Registry(_) => Exit::Unreachable,
        }
    }
}

/// What to do about errors of the system.
const ADVICE: [(io::ErrorKind, &str); 4] = [
    (
        io::ErrorKind::AddrInUse,
        "another program listens there: choose another port, or end that program; `ss -ltnp` says \
         which it is",
    ),
    (
        io::ErrorKind::AddrNotAvailable,
        "this machine has no such address: `ip address` says which it has",
    ),
    (
        io::ErrorKind::PermissionDenied,
        "the user of this process may not: run it as the owner, or let this user read and write \
         there; ports below 1024 are root's",
    ),
    (
        io::ErrorKind::ReadOnlyFilesystem,
        "the file system is read-only: name folders elsewhere, by `--data-dir` and `--config-dir`",
    ),
];

fn advice_on(kind: io::ErrorKind) -> Option<&'static str> {
    ADVICE.iter().find(|(known, _)| *known == kind).map(|(_, advice)| *advice)
}
