//! The lock of a daemon, and the file that it locks.

#[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};

use apflow_model::clock::Timestamp;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use serde::{Deserialize, Serialize};

const LOCK_FILE: &str = "daemon.lock";
/// The most that it holds, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Present {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it answers. None while it starts.
    pub(crate) url: Option<String>,
    /// When it began.
    pub(crate) since: Timestamp,
    /// Its version.
    pub(crate) version: String,
    /// What `serve` was told.
    pub(crate) arguments: Vec<String>,
}

/// The lock, held until it is dropped.
pub(crate) struct Held {
    #[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
    file: File,
    present: Present,
}

impl Held {
    /// Takes the lock in a data directory. None while another daemon holds it.
    pub(crate) fn take(folder: &Dir, present: Present) -> io::Result<Option<Self>> {
        let file = open(folder, true)?;
        match file.try_lock() {
            Ok(()) => {
                let mut held = Self { file, present };
                held.write()?;
                Ok(Some(held))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Says that it answers from now on, and where.
    pub(crate) fn ready(&mut self, url: &str) -> io::Result<()> {
        self.present.url = Some(url.to_owned());
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_string(&self.present).map_err(io::Error::other)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

/// The daemon of a data directory, if one runs. While it begins, or ends, nothing may be known of it
/// yet: then it is not there.
pub(crate) fn find(folder: &Dir) -> io::Result<Option<Present>> {
    let mut file = match open(folder, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Shared, so that two who ask do not take each other for a daemon.
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    (&mut file).take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).ok())
}

#[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
fn open(folder: &Dir, makes: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(makes).truncate(false).read(true).write(true).mode(0o600);
    Ok(folder.open_with(LOCK_FILE, &options)?.into_std())
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn a_daemon_is_there_as_long_as_it_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        assert_eq!(find(&folder).unwrap(), None);
        let present = Present {
            pid: 77,
            url: None,
            since: Timestamp::from_unix_ms(0),
            version: "1".to_owned(),
            arguments: vec!["--port".to_owned(), "0".to_owned()],
        };
        let mut held = Held::take(&folder, present.clone()).unwrap().unwrap();
        assert_eq!(find(&folder).unwrap(), Some(present.clone()));
        assert!(Held::take(&folder, present).unwrap().is_none(), "there is one already");
        held.ready("http://127.0.0.1:8000").unwrap();
        let found = find(&folder).unwrap().unwrap();
        assert_eq!(found.url.as_deref(), Some("http://127.0.0.1:8000"));
        drop(held);
        assert_eq!(find(&folder).unwrap(), None, "what the file says counts no more");
    }
}
