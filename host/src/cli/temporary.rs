//! A folder that is nobody else's, and a host that works there.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt};

use super::error::CliError;
use crate::config::{Config, ConfigError};

/// The longest that one component may compile.
const COMPILE_MAX: Duration = Duration::from_mins(1);

/// A folder that is nobody else's. It is removed when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it among the temporary files, under a name that nobody could have taken before.
    pub(super) fn make(purpose: &str) -> Result<Self, CliError> {
        let temporary = std::env::temp_dir();
        let unusable = |source| CliError::Io { what: temporary.display().to_string(), source };
        let random = getrandom::u64().map_err(|error| unusable(io::Error::other(error)))?;
        let name = format!("{purpose}-{random:016x}");
        let parent = Dir::open_ambient_dir(&temporary, ambient_authority()).map_err(unusable)?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        parent.create_dir_with(&name, &private).map_err(unusable)?;
        Ok(Self(temporary.join(name)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &PathBuf {
        &self.0
    }

    /// The settings of a host that works here.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let (data, settings) = (self.0.join("data"), self.0.join("config"));
        let mut config = Config::new(Some(data), Some(settings), COMPILE_MAX)?;
        // Whatever the environment says: what is tried here must not reach anybody's jobs.
        config.database_url = None;
        Ok(config)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else { return };
        if let Ok(parent) = Dir::open_ambient_dir(parent, ambient_authority()) {
            // What is left among the temporary files, the system removes.
            drop(parent.remove_dir_all(name));
        }
    }
}
