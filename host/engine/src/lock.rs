//! The lock that lets only one process dispatch the tasks of a data directory.
//!
//! The system gives it back when the process ends, however it ends.

#[expect(
    clippy::disallowed_types,
    reason = "only an open file can be locked; it is opened below"
)]
use std::fs::{File, TryLockError};

use cap_std::fs::{Dir, OpenOptions};

use crate::error::EngineError;

const LOCK_FILE: &str = "host.lock";

/// The right to dispatch the tasks of a data directory, held until it is dropped.
#[derive(Debug)]
pub struct DispatchLock {
    #[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
    _file: File,
}

impl DispatchLock {
    /// Takes the lock of a data directory.
    ///
    /// # Errors
    ///
    /// [`EngineError::Locked`] while another process holds it, [`EngineError::DataDir`] when the
    /// file cannot be made.
    pub fn acquire(folder: &Dir) -> Result<Self, EngineError> {
        let unusable =
            |source| EngineError::DataDir { what: format!("its file `{LOCK_FILE}`"), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = folder.open_with(LOCK_FILE, &options).map_err(unusable)?.into_std();
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(EngineError::Locked),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}
