//! The locks between processes: only one dispatches the tasks of a data directory, and only one at
//! a time changes what is granted.
//!
//! A database on a server needs none: any number of hosts share it, each with a lease.
//!
//! The system gives them back when the process ends, however it ends.

#[expect(
    clippy::disallowed_types,
    reason = "only an open file can be locked; it is opened below"
)]
use std::fs::{File, TryLockError};
use std::io;

use cap_std::fs::{Dir, OpenOptions};

use crate::error::EngineError;

const DISPATCH_FILE: &str = "host.lock";
const CHANGE_FILE: &str = "grants.turn";

/// The right to dispatch the tasks of a data directory, and of a database file elsewhere, held until
/// it is dropped.
#[derive(Debug)]
pub struct DispatchLock {
    #[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
    files: Vec<File>,
}

impl DispatchLock {
    /// Takes the lock of a data directory.
    ///
    /// # Errors
    ///
    /// [`EngineError::Locked`] while another process holds it, [`EngineError::DataDir`] when the
    /// file cannot be made.
    pub fn acquire(folder: &Dir) -> Result<Self, EngineError> {
        match lock(folder, DISPATCH_FILE)? {
            Some(file) => Ok(Self { files: vec![file] }),
            None => Err(EngineError::Locked),
        }
    }

    /// Takes the lock of a database file as well, which stands in `folder`.
    ///
    /// # Errors
    ///
    /// [`EngineError::DatabaseLocked`] while another process holds it, [`EngineError::DataDir`]
    /// when the file of the lock cannot be made.
    pub fn and_database(mut self, folder: &Dir, name: &str) -> Result<Self, EngineError> {
        let file = lock(folder, &format!("{name}.lock"))?;
        self.files.push(file.ok_or(EngineError::DatabaseLocked)?);
        Ok(self)
    }
}

/// Locks a file, and makes it when it is not there. None while another process holds it.
#[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
fn lock(folder: &Dir, name: &str) -> Result<Option<File>, EngineError> {
    let file = open(folder, name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(name, error)),
    }
}

/// The turn to change what is granted, held until it is dropped.
#[derive(Debug)]
pub(crate) struct ChangeLock {
    #[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
    _file: File,
}

impl ChangeLock {
    /// Waits for its turn. Whoever has it gives it back within a few writes.
    pub(crate) fn wait(folder: &Dir) -> Result<Self, EngineError> {
        let file = open(folder, CHANGE_FILE)?;
        file.lock().map_err(|error| unusable(CHANGE_FILE, error))?;
        Ok(Self { _file: file })
    }
}

#[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
fn open(folder: &Dir, name: &str) -> Result<File, EngineError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = folder.open_with(name, &options).map_err(|error| unusable(name, error))?;
    Ok(file.into_std())
}

fn unusable(name: &str, source: io::Error) -> EngineError {
    EngineError::DataDir { what: format!("its file `{name}`"), source }
}
