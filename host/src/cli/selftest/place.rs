//! Where the guests are tried: a data directory of their own, a folder to read, a peer to call, and
//! what none of them may reach.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt};

use super::peer::Peer;
use crate::cli::error::CliError;
use crate::config::{Config, ConfigError, open_folder};

/// The longest that one guest may compile.
const COMPILE_MAX: Duration = Duration::from_secs(30);
/// The folder that guests may read.
const GRANTED: &str = "granted";
/// The file in it, and in the folder below it.
const FILE: &str = "notes.txt";
const TEXT: &str = "allowed";

/// A folder that is nobody else's. It is removed when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it among the temporary files, under a name that nobody could have taken before.
    pub(super) fn make() -> Result<Self, CliError> {
        let temporary = std::env::temp_dir();
        let unusable = |source| CliError::Io { what: temporary.display().to_string(), source };
        let random = getrandom::u64().map_err(|error| unusable(io::Error::other(error)))?;
        let name = format!("apflow-selftest-{random:016x}");
        let parent = Dir::open_ambient_dir(&temporary, ambient_authority()).map_err(unusable)?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        parent.create_dir_with(&name, &private).map_err(unusable)?;
        Ok(Self(temporary.join(name)))
    }

    /// The settings of a host that works here.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        Config::new(Some(self.0.join("data")), Some(self.0.join("config")), COMPILE_MAX)
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

/// Where the guests are tried.
pub(super) struct Place {
    granted: PathBuf,
    /// A server that guests may call, when they are granted it.
    pub(super) peer: Peer,
    /// A server that no guest may reach.
    pub(super) private: Peer,
}

impl Place {
    /// Lays out the files and starts the servers.
    pub(super) async fn make(folder: &Folder) -> Result<Self, CliError> {
        let Folder(root) = folder;
        let unusable = |source| CliError::Io { what: root.display().to_string(), source };
        lay_out(&open_folder(root).map_err(unusable)?).map_err(unusable)?;
        let private = Peer::start(None).await.map_err(unusable)?;
        let peer = Peer::start(Some(private.url("/"))).await.map_err(unusable)?;
        Ok(Self { granted: root.join(GRANTED), peer, private })
    }

    /// The folder that guests may be granted.
    pub(super) fn folder(&self) -> String {
        self.granted.display().to_string()
    }

    /// Says what a guest reached or changed that it must not.
    pub(super) fn harm(&self) -> Option<String> {
        if self.private.hits() > 0 {
            return Some("it reached a private address".to_owned());
        }
        match is_untouched(&self.granted) {
            Ok(true) => None,
            Ok(false) => Some("it changed the folder that it may only read".to_owned()),
            Err(error) => Some(format!("the folder that it may only read is gone: {error}")),
        }
    }
}

/// Makes a secret file, and beside it a folder with one file and links to what is outside.
fn lay_out(root: &Dir) -> io::Result<()> {
    root.write("secret.txt", "secret")?;
    root.create_dir(GRANTED)?;
    let granted = root.open_dir(GRANTED)?;
    granted.create_dir("below")?;
    granted.write(FILE, TEXT)?;
    granted.open_dir("below")?.write(FILE, TEXT)?;
    granted.symlink_contents("/etc/passwd", "absolute")?;
    granted.symlink_contents("../secret.txt", "relative")?;
    granted.symlink_contents("/", "root")
}

fn is_untouched(folder: &Path) -> io::Result<bool> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    let count = |folder: &Dir| folder.entries().map(Iterator::count);
    let below = folder.open_dir("below")?;
    Ok(count(&folder)? == 5
        && count(&below)? == 1
        && folder.read_to_string(FILE)? == TEXT
        && below.read_to_string(FILE)? == TEXT)
}
