//! The bytes of installed components: one file each, named by its sha256.

use std::io::{self, Write};

use apflow_model::plugin::Digest;
use cap_std::fs::{Dir, OpenOptions};

use crate::error::EngineError;

/// The folder that holds installed components.
#[derive(Debug)]
pub struct Components {
    folder: Dir,
}

impl Components {
    /// Keeps components in `folder`.
    pub fn new(folder: Dir) -> Self {
        Self { folder }
    }

    /// Reads a component.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, EngineError> {
        let name = file_name(digest);
        self.folder.read(&name).map_err(|error| unusable(&name, error))
    }

    /// Keeps a component. It is written beside and renamed, so that no half of it can stay.
    pub(crate) fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<(), EngineError> {
        let name = file_name(digest);
        let beside = format!("{name}.{}.new", std::process::id());
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        let write = || -> io::Result<()> {
            let mut file = self.folder.open_with(&beside, &options)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.folder.rename(&beside, &self.folder, &name)?;
            // The name as well: the row that names this file must not outlive it.
            self.folder.open(".")?.sync_all()
        };
        write().map_err(|error| unusable(&name, error))
    }

    /// Removes a component. One that is not there is as good as removed.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), EngineError> {
        let name = file_name(digest);
        match self.folder.remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&name, error)),
            _ => Ok(()),
        }
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{digest}.wasm")
}

fn unusable(name: &str, source: io::Error) -> EngineError {
    EngineError::DataDir { what: format!("its file `plugins/{name}`"), source }
}
