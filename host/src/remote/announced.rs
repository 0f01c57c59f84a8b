//! The server that works on a data directory, as it says beside its data: `server.json`, which only
//! its own user may read.
//!
//! The server holds a lock on the file, which the system gives back when its process ends, however
//! it ends: so the file cannot speak of a server that is gone.

#[expect(
    clippy::disallowed_types,
    reason = "only an open file can be locked; it is opened below"
)]
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use serde::{Deserialize, Serialize};

use super::url::ServerUrl;

const FILE: &str = "server.json";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How often the lock is tried for: whoever looks holds it for a moment.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// A server that works on a data directory.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Announced {
    /// Where it answers on this machine.
    pub(crate) url: ServerUrl,
    /// What makes its caller the operator, as long as the server runs.
    pub(crate) token: String,
    /// The number of its process.
    pub(crate) process: u32,
    /// A PEM file that begins with the certificate that it shows. None for plain HTTP.
    pub(crate) certificate: Option<PathBuf>,
}

/// What a server says of itself, until this is dropped.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
pub(crate) struct Announcement(File);

/// What is written.
#[derive(Serialize)]
struct Said<'a> {
    url: String,
    token: &'a str,
    process: u32,
    certificate: Option<PathBuf>,
}

/// Says on this machine where a server answers that works on a data directory. None when another
/// one has said so already.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) async fn announce(
    data_dir: &Path,
    bound: SocketAddr,
    token: &str,
    certificate: Option<&Path>,
) -> io::Result<Option<Announcement>> {
    let folder = Dir::open_ambient_dir(data_dir, ambient_authority())?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    let file = folder.open_with(FILE, &options)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut file = file.into_std();
    if !lock(&file).await? {
        return Ok(None);
    }
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let said = Said {
        url: format!("{scheme}://{}", reached_at(bound)),
        token,
        process: std::process::id(),
        certificate: certificate.map(std::path::absolute).transpose()?,
    };
    // Empty for a moment: whoever looks then finds no server yet.
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(&said)?)?;
    Ok(Some(Announcement(file)))
}

#[expect(clippy::disallowed_types, reason = "only an open file can be locked")]
async fn lock(file: &File) -> io::Result<bool> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN_TRIES).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Where this machine reaches what listens there.
fn reached_at(bound: SocketAddr) -> SocketAddr {
    let here = match bound.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    SocketAddr::new(here, bound.port())
}

impl Announced {
    /// The server that works on a data directory now.
    pub(crate) fn find(data_dir: &Path) -> Option<Self> {
        let folder = Dir::open_ambient_dir(data_dir, ambient_authority()).ok()?;
        let mut file = folder.open(FILE).ok()?.into_std();
        // Whoever can lock it, too, is told by nobody.
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut text = String::new();
        Read::take(&mut file, FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // What it opened is closed: nobody needs to read it any more.
        drop(self.0.set_len(0));
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_server_is_known_as_long_as_it_lasts() {
        let data = TempDir::new().unwrap();
        assert!(Announced::find(data.path()).is_none());
        let bound = "0.0.0.0:8000".parse().unwrap();
        let announcement = announce(data.path(), bound, "secret", None).await.unwrap().unwrap();
        let found = Announced::find(data.path()).unwrap();
        assert_eq!(found.url.to_string(), "http://127.0.0.1:8000");
        assert_eq!((found.token.as_str(), found.process), ("secret", std::process::id()));
        assert!(announce(data.path(), bound, "other", None).await.unwrap().is_none());
        drop(announcement);
        assert!(Announced::find(data.path()).is_none());
    }

    #[tokio::test]
    async fn only_its_user_may_read_what_opens_it() {
        let data = TempDir::new().unwrap();
        let folder = Dir::open_ambient_dir(data.path(), ambient_authority()).unwrap();
        folder.write(FILE, "left by an older one, and open to all").unwrap();
        folder.set_permissions(FILE, Permissions::from_mode(0o644)).unwrap();
        let bound = "[::]:8000".parse().unwrap();
        let _announcement = announce(data.path(), bound, "secret", None).await.unwrap().unwrap();
        assert_eq!(folder.metadata(FILE).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Announced::find(data.path()).unwrap().url.to_string(), "http://[::1]:8000");
    }
}
