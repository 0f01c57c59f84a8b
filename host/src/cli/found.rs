//! What `load` finds on disk: plugins and tools, each a component with its manifest.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use apflow_api::ApiError;
use apflow_model::plugin::{Definition, DefinitionText};
use apflow_model::tool::Run;
use apflow_model::validate::Kind;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};

use super::error::CliError;

/// The manifests that a folder is looked through for, the first that is there counting.
const MANIFESTS: [&str; 2] = ["plugin.yaml", "tool.yaml"];
/// Where cargo leaves a component, from the folder of its package.
const BUILD_FOLDERS: [&str; 2] = ["target/wasm32-wasip2/release", "target/wasm32-wasip2/debug"];

/// A plugin or a tool, on disk or pulled.
pub(crate) struct Found {
    /// The bytes of the component. Empty when the manifest names none.
    pub(crate) component: Vec<u8>,
    /// Where it is.
    pub(crate) component_file: String,
    /// None when a component stands alone.
    pub(crate) manifest: Option<DefinitionText>,
    /// Where it is, or should be.
    pub(crate) manifest_file: String,
    /// What to type for this one alone.
    pub(crate) typed: String,
}

/// Whether there is anything at a path.
pub(crate) fn is_there(path: &str) -> bool {
    // A file that may not be read is there, too.
    let opened = File::open_ambient(Path::new(path), ambient_authority());
    !matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Finds what a path means: a component, a manifest, a folder with one, or a folder of such folders.
pub(crate) fn find(path: &str) -> Result<Vec<Found>, CliError> {
    let at = Path::new(path);
    if let Ok(folder) = Dir::open_ambient_dir(at, ambient_authority()) {
        let names = manifest_in(&folder).map(|name| vec![at.join(name)]);
        let manifests = match names {
            Some(manifests) => manifests,
            None => below(&folder, at).map_err(|error| unreadable(at, error))?,
        };
        if manifests.is_empty() {
            return Err(ApiError::MissingManifest(format!(
                "there is no {} in {path}, nor in a folder in it; load a component by name to see \
                 one that would do",
                MANIFESTS.join(" and no ")
            ))
            .into());
        }
        let is_one = manifests.len() == 1;
        let typed = |manifest: &Path| {
            let folder = manifest.parent().unwrap_or(at).display().to_string();
            if is_one { path.to_owned() } else { folder }
        };
        return manifests.iter().map(|manifest| read_plugin(manifest, typed(manifest))).collect();
    }
    if at.extension().is_some_and(|extension| extension == "yaml") {
        return Ok(vec![read_plugin(at, path.to_owned())?]);
    }
    // A component by its own name: its bytes count, whatever the manifest calls them.
    let component = read(at)?;
    let folder = at.parent().filter(|parent| !parent.as_os_str().is_empty());
    let manifest_at = folder.unwrap_or(Path::new(".")).join(MANIFESTS[0]);
    let manifest = match read_text(&manifest_at) {
        Err(error) if error.is_not_found() => None,
        manifest => Some(DefinitionText::Plugin(manifest?)),
    };
    let manifest_file = manifest_at.display().to_string();
    let (component_file, typed) = (path.to_owned(), path.to_owned());
    Ok(vec![Found { component, component_file, manifest, manifest_file, typed }])
}

fn manifest_in(folder: &Dir) -> Option<&'static str> {
    MANIFESTS.into_iter().find(|name| folder.exists(name))
}

/// The manifests of the folders in a folder, by name.
fn below(folder: &Dir, at: &Path) -> io::Result<Vec<PathBuf>> {
    let mut manifests = Vec::new();
    for entry in folder.entries()? {
        let entry = entry?;
        if let Ok(inner) = entry.open_dir()
            && let Some(manifest) = manifest_in(&inner)
        {
            manifests.push(at.join(entry.file_name()).join(manifest));
        }
    }
    manifests.sort();
    Ok(manifests)
}

/// The manifest in the folder of one plugin.
///
/// # Errors
///
/// [`CliError::NotFound`] when there is none.
pub(crate) fn manifest_of(folder: &Path) -> Result<PathBuf, CliError> {
    let opened = Dir::open_ambient_dir(folder, ambient_authority());
    let opened = opened.map_err(|error| unreadable(folder, error))?;
    let name = manifest_in(&opened).ok_or_else(|| {
        CliError::NotFound(format!(
            "there is no {} in {}: `apflow-host plugin new NAME` makes a plugin",
            MANIFESTS.join(" and no "),
            folder.display()
        ))
    })?;
    Ok(folder.join(name))
}

/// The text of a manifest, which may have faults.
pub(crate) fn definition_text(manifest_at: &Path) -> Result<DefinitionText, CliError> {
    let text = read_text(manifest_at)?;
    Ok(if Kind::of(&manifest_at.display().to_string()) == Some(Kind::Tool) {
        DefinitionText::Tool { text, folder: name(folder_of(manifest_at)) }
    } else {
        DefinitionText::Plugin(text)
    })
}

fn folder_of(manifest_at: &Path) -> &Path {
    let folder = manifest_at.parent().filter(|parent| !parent.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Reads a manifest, and the component that it names.
fn read_plugin(manifest_at: &Path, typed: String) -> Result<Found, CliError> {
    let folder = folder_of(manifest_at);
    let manifest_file = manifest_at.display().to_string();
    let manifest = definition_text(manifest_at)?;
    let (component, component_file) = match manifest.read() {
        Ok(definition) if !is_request(&definition) => {
            read_component(folder, &definition.manifest.component)?
        }
        // A request has none of its own; and one with faults names none: the verb reports them.
        Ok(_) | Err(_) => (Vec::new(), manifest_file.clone()),
    };
    Ok(Found { component, component_file, manifest: Some(manifest), manifest_file, typed })
}

/// Whether a tool sends requests, and so has no component of its own.
pub(crate) fn is_request(definition: &Definition) -> bool {
    let run = definition.tool.as_ref().and_then(|tool| tool.run.as_ref());
    matches!(run, Some(Run::Request { .. }))
}

/// The name of a folder, unless it is only known as the one above another.
fn name(folder: &Path) -> Option<String> {
    Some(std::path::absolute(folder).ok()?.file_name()?.to_str()?.to_owned())
}

/// Reads the component beside its manifest, or where cargo has just built it.
pub(crate) fn read_component(folder: &Path, name: &str) -> Result<(Vec<u8>, String), CliError> {
    let beside = folder.join(name);
    let built = BUILD_FOLDERS.iter().map(|build| folder.join(build).join(name));
    let mut missing = None;
    for candidate in std::iter::once(beside).chain(built) {
        match read(&candidate) {
            Ok(bytes) => return Ok((bytes, candidate.display().to_string())),
            Err(error) => {
                missing.get_or_insert(error);
            }
        }
    }
    Err(missing.unwrap_or_else(|| CliError::NotFound(name.to_owned())))
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    File::open_ambient_with(path, &options, ambient_authority())
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|source| unreadable(path, source))
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| unreadable(path, source))?;
    Ok(bytes)
}

/// Reads a whole file that is text.
pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read(path)?)
        .map_err(|_| CliError::Usage(format!("{} is not UTF-8 text", path.display())))
}

fn unreadable(path: &Path, source: io::Error) -> CliError {
    CliError::Io { what: path.display().to_string(), source }
}
