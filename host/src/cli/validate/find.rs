//! Finds the manifests that paths mean: files by their names, folders by all that is below them.
//!
//! A component is found by its own name only, and so is a `policies.yaml`: others have files of this
//! name as well.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use apflow_model::validate::{Beside, Kind, MANIFEST_BYTES_MAX, Source, is_component};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File};

use super::super::error::CliError;
use super::beside;

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
            || is_named(&entry.display().to_string())
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
        } else if kind.is_file() && matches!(Kind::of(name), Some(Kind::Plugin | Kind::Tool)) {
            files.insert(path);
        }
    }
    Ok(())
}

/// Whether a file is a manifest or a component by its name.
fn is_named(path: &str) -> bool {
    Kind::of(path).is_some() || is_component(path)
}

/// Reads a manifest, one byte more than it may have, and looks at the component that it names; or
/// looks at a component.
fn read(path: &Path) -> Result<Source, CliError> {
    let shown = path.display().to_string();
    let is_component = is_component(&shown);
    let bytes_max = if is_component { u64::MAX } else { MANIFEST_BYTES_MAX + 1 };
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|file| file.take(bytes_max).read_to_end(&mut bytes))
        .map_err(|source| unusable(path, source))?;
    if is_component {
        let component = beside::inspect(&bytes);
        return Ok(Source { path: shown, bytes: Vec::new(), component });
    }
    let source = Source { path: shown, bytes, component: Beside::Unknown };
    Ok(Source { component: beside::look(&source)?, ..source })
}
