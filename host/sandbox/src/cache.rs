//! Compiled code on disk, so that a component is compiled once a machine.
//!
//! Compiled code is native code: whoever can write it can do anything as the host. So every file
//! carries an HMAC-SHA256 under a key that only the host's user can read, and is refused without.

use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use apflow_model::plugin::Digest;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::SandboxError;

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// The most bytes of code that are kept.
const BYTES_MAX: u64 = 2 << 30;
/// What the name of every file with code ends with.
const EXTENSION: &str = ".cwasm";

/// Compiled code that this host did not make, or that was changed since.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct AlteredCode {
    /// The name of its file in the folder of the cache.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// A folder of compiled components, one file for each component and engine.
pub struct CodeCache {
    folder: Dir,
    key: [u8; KEY_BYTES],
}

impl CodeCache {
    /// Opens a cache, makes its key when the folder has none, and removes what is too old to be
    /// kept.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Cache`] when the key cannot be read or made.
    pub fn open(folder: Dir) -> Result<Self, SandboxError> {
        let key = match read_key(&folder) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => make_key(&folder),
            Err(error) => Err(error),
        };
        let cache = Self { key: key.map_err(SandboxError::Cache)?, folder };
        cache.trim(BYTES_MAX);
        Ok(cache)
    }

    /// The code of a component for an engine, if it is there and whole. Whatever else is in its
    /// place is thrown away.
    pub(crate) fn load(&self, digest: &Digest, engine: &Engine) -> Option<Component> {
        let name = file_name(digest, engine);
        let file = self.folder.read(&name).ok()?;
        let component = self.verified(&name, &file).and_then(|code| {
            #[expect(
                unsafe_code,
                reason = "the code was made by a compatible engine and not changed since: its tag, \
                          under a key that only this user can read, was just verified over these \
                          very bytes and over the name, which holds the hash of the engine"
            )]
            let component = unsafe { Component::deserialize(engine, code) };
            component.map_err(|error| error.to_string())
        });
        component
            .inspect_err(|why| {
                tracing::warn!(file = name, why, "compiled code was thrown away: compiling anew");
                if let Err(error) = self.folder.remove_file(&name) {
                    tracing::warn!(file = name, %error, "it cannot be removed");
                }
            })
            .ok()
    }

    /// Whether what is kept of the code of a component for an engine is whole. None when nothing is
    /// kept.
    pub(crate) fn look(&self, digest: &Digest, engine: &Engine) -> Option<Result<(), AlteredCode>> {
        let name = file_name(digest, engine);
        let verified = match self.folder.read(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            Ok(file) => self.verified(&name, &file).map(drop),
        };
        Some(verified.map_err(|why| AlteredCode { file: name, why }))
    }

    /// The code in a file, when it is under the key of this cache.
    fn verified<'a>(&self, name: &str, file: &'a [u8]) -> Result<&'a [u8], String> {
        let (tag, code) = file.split_at_checked(TAG_BYTES).ok_or("it is cut short")?;
        let mac = self.mac(name, code).ok_or("the key has a wrong length")?;
        mac.verify_slice(tag).map_err(|_| "it was changed, or is not of this host")?;
        Ok(code)
    }

    /// Keeps the code of a component. A cache that cannot be written slows the host, but does not
    /// stop it.
    pub(crate) fn store(&self, digest: &Digest, engine: &Engine, code: &[u8]) {
        let name = file_name(digest, engine);
        let mac = self.mac(&name, code).ok_or_else(|| io::Error::other("the key is too long"));
        let stored = mac.and_then(|mac| self.write(&name, &[&mac.finalize().into_bytes(), code]));
        if let Err(error) = stored {
            tracing::warn!(file = name, %error, "compiled code was not kept");
        }
        self.trim(BYTES_MAX);
    }

    /// Removes the oldest code until the rest has at most so many bytes.
    fn trim(&self, bytes_max: u64) {
        let mut files = self.files().unwrap_or_else(|error| {
            tracing::warn!(%error, "the code cache cannot be listed");
            Vec::new()
        });
        files.sort_unstable_by(|one, other| other.cmp(one));
        let mut bytes = 0;
        for (_, name, size) in files {
            bytes += size;
            if bytes > bytes_max
                && let Err(error) = self.folder.remove_file(&name)
            {
                tracing::warn!(file = name, %error, "old code cannot be removed");
            }
        }
    }

    /// Every file with code: when it was written, its name, and its size.
    fn files(&self) -> io::Result<Vec<(SystemTime, String, u64)>> {
        let mut files = Vec::new();
        for entry in self.folder.entries()? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Another host may have removed it meanwhile.
            if let Some(metadata) = entry.metadata().ok().filter(|_| name.ends_with(EXTENSION)) {
                files.push((metadata.modified()?.into_std(), name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn mac(&self, name: &str, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(name.as_bytes());
        mac.update(code);
        Some(mac)
    }

    /// Writes beside, then renames: a reader sees a whole file or none.
    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        beside(&self.folder, name, |written, mut file| {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            self.folder.rename(written, &self.folder, name)
        })
    }
}

/// Reads the key. None when there is none, or one that was not written to its end.
fn read_key(folder: &Dir) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let file = match folder.open(KEY_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.try_into().ok())
}

/// Makes the key, in a way that leaves a whole one or none wherever the host is stopped.
fn make_key(folder: &Dir) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    beside(folder, KEY_FILE, |written, mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        // A link replaces nothing: another host on the same folder may have been faster.
        if folder.hard_link(written, folder, KEY_FILE).is_err() && read_key(folder)?.is_none() {
            // What is there is no key, or the folder knows no links.
            folder.rename(written, folder, KEY_FILE)?;
        }
        read_key(folder)?.ok_or_else(|| io::Error::other("the new key cannot be read back"))
    })
}

/// Makes a new file beside `name` for `write`, which moves it to where it belongs. Nothing is left
/// beside, however `write` ends.
fn beside<T>(
    folder: &Dir,
    name: &str,
    write: impl FnOnce(&str, File) -> io::Result<T>,
) -> io::Result<T> {
    let (beside, file) = new_beside(folder, name)?;
    let written = write(&beside, file);
    // It is gone already when it was renamed.
    drop(folder.remove_file(&beside));
    written
}

/// Makes a new file beside `name` that only the host's user can read.
fn new_beside(folder: &Dir, name: &str) -> io::Result<(String, File)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    loop {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let beside = format!("{name}.{}.{number}.new", std::process::id());
        match folder.open_with(&beside, &options) {
            // An earlier process of the same id was stopped while it wrote.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (beside, file)),
        }
    }
}

/// `SHA256-ENGINE.cwasm`, where ENGINE is a hash of the engine's version and settings.
fn file_name(digest: &Digest, engine: &Engine) -> String {
    format!("{digest}-{}{EXTENSION}", &hash(engine).to_string()[..16])
}

/// What two engines have in common when one runs the code of the other.
pub(crate) fn hash(engine: &Engine) -> Digest {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Digest(hasher.0.finalize().into())
}

/// The standard hasher may change between versions of Rust; file names must not.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn cache() -> (tempfile::TempDir, CodeCache) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, CodeCache::open(dir).unwrap())
    }

    fn store(cache: &CodeCache, digest: [u8; 32], engine: &Engine) -> String {
        let code = engine.precompile_component(EMPTY).unwrap();
        cache.store(&Digest(digest), engine, &code);
        file_name(&Digest(digest), engine)
    }

    fn is_there(cache: &CodeCache, digest: [u8; 32], engine: &Engine) -> bool {
        cache.load(&Digest(digest), engine).is_some()
    }

    #[test]
    fn code_is_read_back_by_the_same_key_only() {
        let (_folder, cache) = cache();
        let engine = Engine::default();
        assert!(!is_there(&cache, [7; 32], &engine));
        store(&cache, [7; 32], &engine);
        assert!(is_there(&cache, [7; 32], &engine));
        let stranger = CodeCache { key: [1; KEY_BYTES], ..cache };
        assert!(!is_there(&stranger, [7; 32], &engine));
        assert_eq!(names(&stranger), [KEY_FILE], "code of a stranger was kept");
    }

    #[test]
    fn changed_code_is_thrown_away() {
        let (_folder, cache) = cache();
        let engine = Engine::default();
        let name = store(&cache, [7; 32], &engine);
        let whole = cache.folder.read(&name).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        for bad in [&changed[..], &[], &whole[..TAG_BYTES - 1], &whole[..=TAG_BYTES]] {
            cache.folder.write(&name, bad).unwrap();
            let looked_at = cache.look(&Digest([7; 32]), &engine).unwrap().unwrap_err();
            assert_eq!((looked_at.file, names(&cache).len()), (name.clone(), 2), "it is kept");
            assert!(!is_there(&cache, [7; 32], &engine));
            assert_eq!(names(&cache), [KEY_FILE], "{} bytes were kept", bad.len());
        }
        store(&cache, [7; 32], &engine);
        assert_eq!(cache.look(&Digest([7; 32]), &engine), Some(Ok(())));
        assert!(is_there(&cache, [7; 32], &engine));
        assert_eq!(cache.look(&Digest([8; 32]), &engine), None);
    }

    #[test]
    fn code_of_one_component_is_not_taken_for_another() {
        let (_folder, cache) = cache();
        let engine = Engine::default();
        let from = store(&cache, [7; 32], &engine);
        let to = file_name(&Digest([8; 32]), &engine);
        cache.folder.rename(from, &cache.folder, to).unwrap();
        assert!(!is_there(&cache, [8; 32], &engine));
        assert_eq!(names(&cache), [KEY_FILE]);
    }

    #[test]
    fn the_oldest_code_goes_first() {
        let (folder, cache) = cache();
        let path = |name: &str| folder.path().join(name);
        for (name, age) in [("a.cwasm", 3), ("b.cwasm", 1), ("c.cwasm", 2), ("other", 9)] {
            cache.folder.write(name, [0; 100]).unwrap();
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000 - age);
            set_modified(&path(name), then);
        }
        let left = |bytes_max| {
            cache.trim(bytes_max);
            let mut names = names(&cache);
            names.sort();
            names
        };
        assert_eq!(left(300), ["a.cwasm", "b.cwasm", "c.cwasm", KEY_FILE, "other"]);
        assert_eq!(left(299), ["b.cwasm", "c.cwasm", KEY_FILE, "other"]);
        assert_eq!(left(100), ["b.cwasm", KEY_FILE, "other"]);
        assert_eq!(left(0), [KEY_FILE, "other"]);
    }

    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "only the standard library sets the time of a file"
    )]
    fn set_modified(path: &std::path::Path, time: SystemTime) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn the_key_is_made_once_and_is_private() {
        use cap_std::fs::MetadataExt;
        let (folder, cache) = cache();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        assert_eq!(dir.metadata(KEY_FILE).unwrap().mode() & 0o777, 0o600);
        assert_eq!(CodeCache::open(dir).unwrap().key, cache.key);
    }

    fn names(cache: &CodeCache) -> Vec<String> {
        let entries = cache.folder.entries().unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_half_made_key_is_replaced() {
        for half in [&b""[..], &[7; KEY_BYTES - 1], &[7; KEY_BYTES + 1]] {
            let (_folder, cache) = cache();
            cache.folder.write(KEY_FILE, half).unwrap();
            let open = || CodeCache::open(cache.folder.try_clone().unwrap()).unwrap();
            let key = open().key;
            assert_ne!(key, cache.key);
            assert_eq!(open().key, key);
            assert_eq!(names(&cache), [KEY_FILE]);
        }
    }

    #[test]
    fn the_first_key_wins() {
        let (_folder, cache) = cache();
        assert_eq!(make_key(&cache.folder).unwrap(), cache.key);
        assert_eq!(names(&cache), [KEY_FILE]);
    }

    #[test]
    fn what_a_stopped_process_left_blocks_no_later_store() {
        let (_folder, cache) = cache();
        let (left, _) = new_beside(&cache.folder, "name").unwrap();
        let number: u64 = left.split('.').nth(2).unwrap().parse().unwrap();
        for next in number..number + 100 {
            let left = format!("name.{}.{next}.new", std::process::id());
            cache.folder.write(left, "half").unwrap();
        }
        cache.write("name", &[b"whole"]).unwrap();
        assert_eq!(cache.folder.read("name").unwrap(), b"whole");
    }

    #[test]
    fn a_store_that_fails_leaves_nothing() {
        let (_folder, cache) = cache();
        // A folder of this name cannot be replaced by a file.
        cache.folder.create_dir_all("name/full").unwrap();
        assert!(cache.write("name", &[b"code"]).is_err());
        let mut left = names(&cache);
        left.sort();
        assert_eq!(left, [KEY_FILE, "name"]);
    }
}
