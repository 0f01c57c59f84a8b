//! What keeps the command line from doing what was typed.

use std::io;

use apflow_api::{ApiError, Code};
use apflow_model::reader::FileFault;

use super::exit::Exit;
use crate::config::ConfigError;

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
}

impl CliError {
    /// The stable code, where there is one.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Api(error) => Some(error.code()),
            Self::Usage(_) => Some(Code::InvalidRequest),
            Self::NotFound(_)
            | Self::Bench(_)
            | Self::Daemon(_)
            | Self::Io { .. }
            | Self::Config(_) => None,
        }
    }

    /// Whether a file is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The error of the verb, if it is one.
    pub(crate) fn api(&self) -> Option<&ApiError> {
        if let Self::Api(error) = self { Some(error) } else { None }
    }

    /// Every fault of a file.
    pub(crate) fn faults(&self) -> &[FileFault] {
        match self {
            Self::Api(error) => error.faults(),
            Self::Config(error) => error.faults(),
            Self::Usage(_)
            | Self::NotFound(_)
            | Self::Bench(_)
            | Self::Daemon(_)
            | Self::Io { .. } => &[],
        }
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) | Self::Io { .. } | Self::Daemon(_) => Exit::Failed,
            Self::Config(_) | Self::Bench(_) => Exit::Internal,
            Self::Api(error) => Exit::of_code(error.code()),
        }
    }
}
