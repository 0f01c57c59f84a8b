//! Where the guests are tried: a data directory of their own, a folder to read, a peer to call, and
//! what none of them may reach.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::peer::Peer;
use crate::cli::error::CliError;
use crate::config::{Config, ConfigError, open_folder};

const FILE: &str = "notes.txt";
const TEXT: &str = "allowed";

/// Where the guests are tried. It is removed when it is dropped.
pub(super) struct Place {
    root: PathBuf,
    /// A server that guests may call, when they are granted it.
    pub(super) peer: Peer,
    /// A server that no guest may reach.
    pub(super) private: Peer,
}

impl Place {
    /// Makes the folders and starts the servers.
    pub(super) async fn make() -> Result<Self, CliError> {
        let root = std::env::temp_dir().join(format!("apflow-selftest-{}", std::process::id()));
        let unusable = |source| CliError::Io { what: root.display().to_string(), source };
        lay_out(&open_folder(&root).map_err(unusable)?).map_err(unusable)?;
        let private = Peer::start(None).await.map_err(unusable)?;
        let peer = Peer::start(Some(private.url("/"))).await.map_err(unusable)?;
        Ok(Self { root, peer, private })
    }

    /// The settings of a host that works here.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        Config::new(Some(self.root.join("data")), Some(self.root.join("config")))
    }

    /// The folder that guests may be granted.
    pub(super) fn folder(&self) -> String {
        self.root.join("granted").display().to_string()
    }

    /// Says what a guest reached or changed that it must not.
    pub(super) fn harm(&self) -> Option<String> {
        if self.private.hits() > 0 {
            return Some("it reached a private address".to_owned());
        }
        let folder = self.root.join("granted");
        match is_untouched(&folder) {
            Ok(true) => None,
            Ok(false) => Some("it changed the folder that it may only read".to_owned()),
            Err(error) => Some(format!("the folder that it may only read is gone: {error}")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (Some(parent), Some(name)) = (self.root.parent(), self.root.file_name()) else {
            return;
        };
        if let Ok(parent) = Dir::open_ambient_dir(parent, ambient_authority()) {
            // What is left in the temporary folder, the system removes.
            drop(parent.remove_dir_all(name));
        }
    }
}

/// Makes a secret file, and beside it a folder with one file and links to what is outside.
fn lay_out(root: &Dir) -> io::Result<()> {
    root.write("secret.txt", "secret")?;
    root.create_dir_all("granted/below")?;
    let granted = root.open_dir("granted")?;
    granted.write(FILE, TEXT)?;
    granted.write("below/notes.txt", TEXT)?;
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
