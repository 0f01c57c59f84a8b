//! What keeps the command line from doing what was typed.

use std::io;

use apflow_api::{ApiError, Code};

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
    /// A file, or something like it, cannot be used.
    #[error("{what}: {source}")]
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
    #[error("{}", .0.chain())]
    Api(#[from] ApiError),
}

impl CliError {
    /// The stable code, where there is one.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Api(error) => Some(error.code()),
            Self::Usage(_) => Some(Code::InvalidRequest),
            Self::NotFound(_) | Self::Io { .. } | Self::Config(_) => None,
        }
    }

    /// The error of the verb, if it is one.
    pub(crate) fn api(&self) -> Option<&ApiError> {
        if let Self::Api(error) = self { Some(error) } else { None }
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) | Self::Io { .. } => Exit::Failed,
            Self::Config(_) => Exit::Internal,
            Self::Api(error) => Exit::of_code(error.code()),
        }
    }
}
