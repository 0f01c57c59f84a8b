//! `grants.lock` in the data directory: the only place that says what a plugin is granted, but for what
//! the settings themselves name for a plugin that comes with the host.
//!
//! It is read again whenever it has changed, so that whoever edits it takes a grant away at once.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use apflow_model::capability::Grant;
use apflow_model::consent::GrantLock;
use apflow_model::plugin::Plugin;
use apflow_model::reader::FileFault;
use cap_std::fs::{Dir, MetadataExt, OpenOptions, OpenOptionsExt};

use crate::error::EngineError;
use crate::lock::ChangeLock;

const FILE: &str = "grants.lock";

/// The most bytes that it may have.
const BYTES_MAX: u64 = 4 << 20;

/// What the operator allows the components of a data directory.
#[derive(Debug)]
pub struct Consents {
    folder: Dir,
    seen: Mutex<Seen>,
    /// What the settings grant plugins that come with the host, by their names.
    by_settings: BTreeMap<&'static str, Vec<Grant>>,
}

/// The file as it was read last.
#[derive(Debug)]
struct Seen {
    /// None for a file that is not there.
    stamp: Option<Stamp>,
    read: Result<Arc<GrantLock>, Vec<FileFault>>,
    /// Whether the log says that it has faults.
    is_told: bool,
}

/// What differs whenever a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
}

impl Consents {
    /// Keeps the lock in `folder`, which is the data directory.
    pub fn new(folder: Dir) -> Self {
        Self {
            folder,
            seen: Mutex::new(Seen { stamp: None, read: Ok(Arc::default()), is_told: false }),
            by_settings: BTreeMap::new(),
        }
    }

    /// Grants a plugin that comes with the host what the operator's settings name for it, beside what
    /// the lock says.
    #[must_use]
    pub fn granting(mut self, plugin: &'static str, grants: Vec<Grant>) -> Self {
        self.by_settings.insert(plugin, grants);
        self
    }

    /// What is allowed now.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidLock`] while the file has a fault: nothing is allowed then.
    /// [`EngineError::DataDir`] when it cannot be read.
    pub(crate) fn current(&self) -> Result<Arc<GrantLock>, EngineError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.stamp().map_err(unusable)?;
        if seen.stamp != stamp {
            let read = match self.read() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Arc::default()),
                text => GrantLock::parse(&text.map_err(unusable)?).map(Arc::new),
            };
            *seen = Seen { stamp, read, is_told: false };
        }
        seen.read.clone().map_err(|faults| EngineError::InvalidLock { file: FILE.into(), faults })
    }

    /// What a plugin is granted now: what the lock says of its name and what its grants are bound to,
    /// together; and what the settings grant it, if it comes with the host.
    ///
    /// # Errors
    ///
    /// As [`Consents::current`].
    pub(crate) fn granted(&self, plugin: &Plugin) -> Result<Vec<Grant>, EngineError> {
        let lock = self.current().inspect_err(|error| self.tell(error))?;
        let consent = lock.find(&plugin.manifest.name, &plugin.bound_to);
        let mut granted = consent.map(|consent| consent.grants.clone()).unwrap_or_default();
        if plugin.builtin
            && let Some(grants) = self.by_settings.get(plugin.manifest.name.as_str())
        {
            granted.extend_from_slice(grants);
        }
        Ok(granted)
    }

    /// Changes the lock. Processes take turns, and each begins with what the one before has written.
    ///
    /// # Errors
    ///
    /// As [`Consents::current`]; nothing is changed then.
    pub(crate) fn change(&self, change: impl FnOnce(&mut GrantLock)) -> Result<(), EngineError> {
        let _turn = ChangeLock::wait(&self.folder)?;
        let before = self.current()?;
        let mut lock = GrantLock::clone(&before);
        change(&mut lock);
        if lock == *before {
            return Ok(());
        }
        self.write(&lock.to_string()).map_err(unusable)
    }

    /// Logs that the lock has faults, once until it has changed: it is asked for every attempt.
    fn tell(&self, error: &EngineError) {
        let EngineError::InvalidLock { faults, .. } = error else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut seen.is_told, true) {
            let fault = faults.first().map(ToString::to_string);
            tracing::error!(fault, "`{FILE}` is not valid, so no plugin is granted anything");
        }
    }

    fn stamp(&self) -> io::Result<Option<Stamp>> {
        let found = match self.folder.metadata(FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        Ok(Some(Stamp {
            inode: found.ino(),
            bytes: found.len(),
            modified: found.modified().ok().map(cap_std::time::SystemTime::into_std),
            changed: (found.ctime(), found.ctime_nsec()),
        }))
    }

    fn read(&self) -> io::Result<String> {
        let mut text = String::new();
        self.folder.open(FILE)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(io::Error::other("it has more than 4 MiB"));
        }
        Ok(text)
    }

    /// Writes beside, then renames: no half of it can stay, and nobody else can read it.
    fn write(&self, text: &str) -> io::Result<()> {
        let beside = format!("{FILE}.{}.new", std::process::id());
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = self.folder.open_with(&beside, &options)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        self.folder.rename(&beside, &self.folder, FILE)?;
        // The name as well: what was consented to must not be taken back by a crash.
        self.folder.open(".")?.sync_all()
    }
}

fn unusable(source: io::Error) -> EngineError {
    EngineError::DataDir { what: format!("its file `{FILE}`"), source }
}

#[cfg(test)]
mod tests {
    use apflow_model::consent::Consent;
    use apflow_model::plugin::Digest;
    use cap_std::fs::PermissionsExt;
    use tempfile::TempDir;

    use super::*;

    const DIGEST: Digest = Digest([7; 32]);

    fn consent(grant: &str) -> Consent {
        let grants = vec![grant.parse().unwrap()];
        Consent { version: "1.0.0".to_owned(), asks: Vec::new(), grants }
    }

    fn open(folder: &TempDir) -> Consents {
        let authority = cap_std::ambient_authority();
        Consents::new(Dir::open_ambient_dir(folder.path(), authority).unwrap())
    }

    #[test]
    fn what_one_process_writes_another_sees_at_once() {
        let folder = TempDir::new().unwrap();
        let (one, other) = (open(&folder), open(&folder));
        assert_eq!(*other.current().unwrap(), GrantLock::default());
        one.change(|lock| lock.put("a", DIGEST, Some(consent("env=A")))).unwrap();
        assert_eq!(other.current().unwrap().find("a", &DIGEST), Some(&consent("env=A")));
        other.change(|lock| lock.put("b", DIGEST, Some(consent("env=B")))).unwrap();
        assert_eq!(one.current().unwrap().digests("a").count(), 1);
        one.change(|lock| lock.keep_only("a", None)).unwrap();
        assert!(other.current().unwrap().find("a", &DIGEST).is_none());
    }

    #[test]
    fn a_lock_with_a_fault_allows_nothing_until_it_is_repaired() {
        let folder = TempDir::new().unwrap();
        let consents = open(&folder);
        consents.change(|lock| lock.put("a", DIGEST, Some(consent("env=A")))).unwrap();
        let good = consents.folder.read_to_string(FILE).unwrap();
        consents.folder.write(FILE, good.replace("env=A", "env")).unwrap();
        for _ in 0..2 {
            let Err(EngineError::InvalidLock { faults, .. }) = consents.current() else {
                panic!("it has a fault")
            };
            assert_eq!((faults[0].line, faults[0].column), (10, 9), "{}", faults[0]);
        }
        assert!(consents.change(|lock| lock.keep_only("a", None)).is_err());
        consents.folder.write(FILE, &good).unwrap();
        assert!(consents.current().is_ok());
    }

    #[test]
    fn the_file_is_private_and_left_alone_when_nothing_changes() {
        let folder = TempDir::new().unwrap();
        let consents = open(&folder);
        consents.change(|_| ()).unwrap();
        assert!(consents.stamp().unwrap().is_none());
        consents.change(|lock| lock.put("a", DIGEST, Some(consent("env=A")))).unwrap();
        let mode = consents.folder.metadata(FILE).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = consents.stamp().unwrap();
        consents.change(|lock| lock.put("a", DIGEST, Some(consent("env=A")))).unwrap();
        assert_eq!(consents.stamp().unwrap(), before);
    }
}
