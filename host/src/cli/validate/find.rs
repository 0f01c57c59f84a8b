//! Finds the manifests that paths mean: files by their names, folders by all that is below them.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use apflow_model::validate::{Kind, Source};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File};

use super::super::error::CliError;

/// The largest manifest that is read, in bytes: 1 MiB.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Folders of other programs, which hold no manifests of one's own.
const FOLDERS_SKIPPED: [&str; 2] = ["node_modules", "target"];
/// How deep folders may be nested.
const DEPTH_MAX: usize = 32;

/// Every manifest that the paths mean, each once, in the order of their paths.
///
/// # Errors
///
/// A path that is not there or cannot be read, and a folder or pattern without any manifest.
pub(crate) fn find(paths: &[String]) -> Result<Vec<Source>, CliError> {
    let mut files = BTreeSet::new();
    for path in paths {
        let before = files.len();
        expand(path, &mut files)?;
        if files.len() == before && !is_known(Path::new(path), &files) {
            let nothing = format!("there is no plugin.yaml and no tool.yaml in {path}");
            return Err(CliError::NotFound(nothing));
        }
    }
    files.iter().map(|file| read(file)).collect()
}

/// Whether a path was found by way of another.
fn is_known(path: &Path, files: &BTreeSet<PathBuf>) -> bool {
    files.iter().any(|file| file.starts_with(path))
}

fn unusable(path: &Path, source: io::Error) -> CliError {
    CliError::Io { what: path.display().to_string(), source }
}

/// Adds the manifests that one path means. A pattern that the shell has left alone is expanded.
fn expand(path: &str, files: &mut BTreeSet<PathBuf>) -> Result<(), CliError> {
    if !path.contains(['*', '?', '[']) {
        return add(Path::new(path), files);
    }
    let found = glob::glob(path).map_err(|error| CliError::Usage(format!("`{path}`: {error}")))?;
    for entry in found {
        let entry = entry.map_err(|error| {
            let path = error.path().to_owned();
            unusable(&path, error.into())
        })?;
        if Dir::open_ambient_dir(&entry, ambient_authority()).is_ok()
            || Kind::of(&entry.display().to_string()).is_some()
        {
            add(&entry, files)?;
        }
    }
    Ok(())
}

/// Adds a file, or whatever is in a folder.
fn add(path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<(), CliError> {
    match Dir::open_ambient_dir(path, ambient_authority()) {
        Ok(folder) => walk(&folder, path, 0, files).map_err(|source| unusable(path, source)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            files.insert(path.to_owned());
            Ok(())
        }
        Err(source) => Err(unusable(path, source)),
    }
}

/// Goes through a folder and those in it, but follows no link.
fn walk(folder: &Dir, at: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in folder.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kind = entry.file_type()?;
        let path = if at == Path::new(".") { PathBuf::from(name) } else { at.join(name) };
        if kind.is_dir() {
            let is_skipped = name.starts_with('.') || FOLDERS_SKIPPED.contains(&name);
            if !is_skipped && depth < DEPTH_MAX {
                walk(&entry.open_dir()?, &path, depth + 1, files)?;
            }
        } else if kind.is_file() && Kind::of(name).is_some() {
            files.insert(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Source, CliError> {
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source| unusable(path, source))?;
    let shown = path.display().to_string();
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(CliError::Usage(format!("{shown} has more than 1 MiB, so it is no manifest")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::Usage(format!("{shown} is not UTF-8 text")))?;
    Ok(Source { path: shown, text })
}
