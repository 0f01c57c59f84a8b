//! Where the guests are tried: a data directory of their own, a folder to read, a peer to call, and
//! what none of them may reach.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::peer::Peer;
use crate::cli::error::CliError;
use crate::cli::temporary::Folder;
use crate::config::open_folder;

/// The folder that guests may read.
const GRANTED: &str = "granted";
/// The file in it, and in the folder below it.
const FILE: &str = "notes.txt";
const TEXT: &str = "allowed";

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
        let root = folder.path();
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
