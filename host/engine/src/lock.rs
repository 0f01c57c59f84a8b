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

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt, OpenOptions};

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

/// The process that holds the lock of a data directory, where the system tells.
pub(crate) fn holder(folder: &Dir) -> Option<u32> {
    let inode = folder.metadata(DISPATCH_FILE).ok()?.ino();
    let locks = cap_std::fs::File::open_ambient("/proc/locks", ambient_authority());
    let locks = io::read_to_string(locks.ok()?).ok()?;
    locks.lines().find_map(|line| holder_in(line, inode))
}

/// The process in a line of `/proc/locks` about this file: see `man proc_locks`.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1);
    let is_whole = words.next()? == "FLOCK" && words.nth(1)? == "WRITE";
    let process = words.next()?;
    let is_this = words.next()?.rsplit(':').next()?.parse() == Ok(inode);
    (is_whole && is_this).then(|| process.parse().ok())?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        assert_eq!(holder(&folder), None);
        let lock = DispatchLock::acquire(&folder).unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(holder(&folder), Some(std::process::id()));
        }
        drop(lock);
        assert_eq!(holder(&folder), None);
        assert_eq!(holder_in("1: FLOCK  ADVISORY  WRITE 77 fe:00:42 0 EOF", 42), Some(77));
        assert_eq!(holder_in("1: POSIX  ADVISORY  WRITE 77 fe:00:42 0 EOF", 42), None);
        assert_eq!(holder_in("1: -> FLOCK  ADVISORY  WRITE 77 fe:00:42 0 EOF", 42), None);
    }
}
