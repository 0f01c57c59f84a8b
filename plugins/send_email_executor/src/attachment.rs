//! The files that go with a mail, read from the folder that is mounted at `/in`.

use std::io;
use std::path::{Path, PathBuf};

use crate::input::AttachmentInput;

/// The most bytes that all files of a mail have together: most servers take no larger mail, since
/// they grow by a third on the way.
const BYTES_MAX: u64 = 20 << 20;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The name that those who get it see.
    pub name: String,
    /// Its type, such as `application/pdf`.
    pub kind: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A file cannot go with a mail.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// The folder has no such file.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// They are too large together.
    #[error("the attachments have more than {BYTES_MAX} bytes together, with {}", path.display())]
    TooLarge {
        /// The file that was too much.
        path: PathBuf,
    },
    /// Nothing is left of its name.
    #[error("{} has no name: set `name`", path.display())]
    NoName {
        /// The file.
        path: PathBuf,
    },
}

/// Reads files below `folder`.
///
/// # Errors
///
/// An [`AttachmentError`] when one is not there, has no name, or they are too large together.
pub fn read(
    listed: Vec<AttachmentInput>,
    folder: &Path,
) -> Result<Vec<Attachment>, AttachmentError> {
    let mut left = BYTES_MAX;
    let mut read = Vec::new();
    for AttachmentInput { path, name, kind } in listed {
        // A path that is absolute stays as it is: `/in/files/…` is what stands for an upload.
        let path = folder.join(path);
        let own = || path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.or_else(own) else { return Err(AttachmentError::NoName { path }) };
        let bytes = match read_file(&path, left) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(AttachmentError::TooLarge { path }),
            Err(reason) => return Err(AttachmentError::Unreadable { path, reason }),
        };
        left -= bytes.len() as u64;
        read.push(Attachment { name, kind, bytes });
    }
    Ok(read)
}

/// None for a file that is larger than `bytes_max`.
#[expect(clippy::disallowed_methods, reason = "a plugin sees no folder but the granted one")]
fn read_file(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    if std::fs::metadata(path)?.len() > bytes_max {
        return Ok(None);
    }
    std::fs::read(path).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(path: &str, name: Option<&str>) -> Vec<AttachmentInput> {
        let name = name.map(str::to_owned);
        vec![AttachmentInput { path: path.to_owned(), name, kind: "text/plain".to_owned() }]
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the files that the test reads")]
    fn files_are_read_within_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "text").unwrap();
        let read_one = |name| read(listed("a.txt", name), folder.path()).unwrap().remove(0);
        assert_eq!((read_one(None).name.as_str(), read_one(None).bytes), ("a.txt", b"text".into()));
        assert_eq!(read_one(Some("b.txt")).name, "b.txt");
        let large = vec![0; usize::try_from(BYTES_MAX - 3).unwrap()];
        std::fs::write(folder.path().join("large"), large).unwrap();
        let both = [listed("a.txt", None), listed("large", None)].concat();
        let refused = read(both, folder.path()).unwrap_err().to_string();
        assert!(refused.contains("more than 20971520 bytes together"), "{refused}");
        let refused = read(listed("none", None), folder.path()).unwrap_err().to_string();
        assert!(refused.contains("none cannot be read"), "{refused}");
    }
}
