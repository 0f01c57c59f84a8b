//! What keeps the settings from being read or written.

use std::io;
use std::path::{Path, PathBuf};

use apflow_model::provider::ProviderError;
use apflow_model::reader::FileFault;
use apflow_model::yaml_edit::EditError;

use crate::models::{self, PRICES_FILE};
use crate::telemetry::Refused;

/// What keeps the settings from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Neither a home nor the folders themselves are set.
    #[error("there is no home folder: set `APFLOW_DATA_DIR` and `APFLOW_CONFIG_DIR`")]
    NoHome,
    /// A folder or file cannot be read or written.
    #[error("`{}` cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `config.yaml` has a fault.
    #[error("`{}` is not valid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A variable of the environment has a fault.
    #[error("the environment variable `{name}` is not valid: {reason}")]
    Variable {
        /// Which.
        name: String,
        /// What.
        reason: String,
    },
    /// `secrets.yaml` is open to others.
    #[error(
        "`{}` has the mode {mode:o}, so others than its owner may use it: `chmod 600` it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// `secrets.yaml`, `policies.yaml` or `prices.yaml` has faults.
    #[error("`{}` is not valid", path.display())]
    Faults {
        /// The file.
        path: PathBuf,
        /// Every fault, in the order of the file.
        faults: Vec<FileFault>,
    },
    /// `config.yaml` cannot be changed for what stands in it.
    #[error("`{}` was not changed", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
    /// The system gives no random numbers for a token.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(String),
}

impl ConfigError {
    pub(super) fn of_models(settings: &Path, error: models::Unreadable) -> Self {
        let path = settings.join(PRICES_FILE);
        match error {
            models::Unreadable::Io(source) => Self::Unusable { path, source },
            models::Unreadable::Faults(faults) => Self::Faults { path, faults },
            models::Unreadable::Provider(ProviderError::Settings(reason)) => {
                Self::Invalid { path: settings.join("config.yaml"), reason }
            }
            models::Unreadable::Provider(ProviderError::Variable { name, reason }) => {
                Self::Variable { name: name.to_owned(), reason }
            }
        }
    }

    pub(crate) fn of_telemetry(file: PathBuf, refused: Refused) -> Self {
        match refused.variable() {
            Some(name) => Self::Variable { name: name.to_owned(), reason: refused.reason },
            None => Self::Invalid { path: file, reason: refused.to_string() },
        }
    }

    /// Every fault of a file, in its order.
    pub(crate) fn faults(&self) -> &[FileFault] {
        if let Self::Faults { faults, .. } = self { faults } else { &[] }
    }
}
