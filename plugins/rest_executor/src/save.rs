//! Writes the body of an answer to a file, piece by piece.

use std::io::{self, Write};
use std::path::{Component, Path};

use apflow_sdk::{Fault, JsonSchema, schemars};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::body::hex;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Saved {
    /// Its name in `/out`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// Whether a name leads to a file below a folder.
pub fn is_below(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty()
        && !name.ends_with('/')
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Writes all pieces to a file below `folder`.
///
/// # Errors
///
/// The fault of a piece that does not come, and [`Fault::Permanent`] when the file cannot be written.
pub fn save(
    folder: &Path,
    name: &str,
    mut next: impl FnMut() -> Result<Option<Vec<u8>>, Fault>,
) -> Result<Saved, Fault> {
    let unwritable = |error: io::Error| {
        Fault::permanent(format!("the file `{name}` cannot be written to /out: {error}"))
    };
    let mut file = create(folder, name).map_err(unwritable)?;
    let (mut bytes, mut digest) = (0, Sha256::new());
    while let Some(piece) = next()? {
        file.write_all(&piece).map_err(unwritable)?;
        digest.update(&piece);
        bytes += piece.len() as u64;
    }
    Ok(Saved { path: name.to_owned(), bytes, sha256: hex(&digest.finalize()) })
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a plugin sees no folder but its own"
)]
fn create(folder: &Path, name: &str) -> io::Result<std::fs::File> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::File::create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_make_the_file_and_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let mut pieces = [b"hel".to_vec(), b"lo".to_vec()].into_iter();
        let saved = save(folder.path(), "a/b.txt", || Ok(pieces.next())).unwrap();
        assert_eq!((saved.path.as_str(), saved.bytes), ("a/b.txt", 5));
        let expected = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(saved.sha256, expected);
        #[expect(clippy::disallowed_methods, reason = "a test looks at its files")]
        let written = std::fs::read(folder.path().join("a/b.txt")).unwrap();
        assert_eq!(written, b"hello");
    }

    #[test]
    fn a_piece_that_does_not_come_is_the_fault() {
        let folder = tempfile::tempdir().unwrap();
        let fault = save(folder.path(), "a", || Err(Fault::retryable("lost"))).unwrap_err();
        assert_eq!(fault, Fault::retryable("lost"));
    }

    #[test]
    fn only_names_below_the_folder_are_taken() {
        assert!(is_below("a.txt") && is_below("a/b.txt"));
        for name in ["", "/a", "../a", "a/../../b", "a/"] {
            assert!(!is_below(name), "{name}");
        }
    }
}
