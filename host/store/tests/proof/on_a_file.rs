//! A database in a file.

/// A database of one proof.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn make() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Its address, as text.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("apflow.db").display())
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
