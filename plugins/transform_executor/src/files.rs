//! Opens files. A plugin sees no folder but those that it was given.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "in a component the standard library is what reaches the folders of the task"
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// Opens a file to be read, and says how large it is.
pub(crate) fn open(path: &Path) -> io::Result<(Box<dyn Read>, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((Box::new(file), bytes))
}

/// Makes a file, and the folders of its path.
pub(crate) fn create(path: &Path) -> io::Result<Box<dyn Write>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(Box::new(File::create(path)?))
}
