//! `load`: check, compile and install a plugin.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use apflow_api::{ApiError, Approval, GrantPlugin, ListPlugins, LoadPlugin, LoadedPlugin};
use apflow_model::limit::Span;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::Installed;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File};

use super::arguments::Load;
use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::Output;
use super::{asked, grant};
use crate::config::Config;

const MANIFEST: &str = "plugin.yaml";
/// Where cargo leaves a component, from the folder of its package.
const BUILD_FOLDERS: [&str; 2] = ["target/wasm32-wasip2/release", "target/wasm32-wasip2/debug"];

pub(crate) async fn run(config: &Config, load: Load, output: &Output) -> Result<Exit, CliError> {
    let approval = approval(&load)?;
    let files = match find(&load.path) {
        Ok(files) => files,
        Err(missing) => {
            // Only a name that is no path can mean a plugin that came with the host.
            if !missing.is_not_found() || !is_builtin(config, &load.path).await? {
                return Err(missing);
            }
            let installed = invoke(config, GrantPlugin { name: load.path, approval }).await?;
            asked::warn(config, &installed.grants, output);
            output.result(&installed, || describe(&installed, "came with the host"));
            return Ok(Exit::Ok);
        }
    };
    let loading = LoadPlugin {
        component: files.component,
        component_file: files.component_file,
        manifest: files.manifest,
        manifest_file: files.manifest_file,
        approval,
        typed: load.path,
    };
    let loaded = invoke(config, loading).await?;
    asked::warn(config, &loaded.plugin.grants, output);
    output.result(&loaded, || describe(&loaded.plugin, &how(&loaded)));
    Ok(Exit::Ok)
}

/// How the operator consents.
fn approval(load: &Load) -> Result<Approval, CliError> {
    if let Some(path) = &load.locked {
        let file = path.display().to_string();
        return Ok(Approval::Locked { text: read_text(path)?, file });
    }
    Ok(match grant::all(load.grants.clone())? {
        None if !load.yes => Approval::Unsaid,
        grants => Approval::Said { grants: grants.unwrap_or_default(), all: load.yes },
    })
}

async fn is_builtin(config: &Config, name: &str) -> Result<bool, CliError> {
    let installed = invoke(config, ListPlugins).await?;
    Ok(installed.plugins.iter().any(|installed| {
        let plugin = &installed.plugin;
        plugin.builtin && plugin.manifest.name == name
    }))
}

/// What `load` found on disk.
struct Files {
    component: Vec<u8>,
    component_file: String,
    manifest: Option<String>,
    manifest_file: String,
}

/// Finds the component and the manifest that a path means.
fn find(path: &str) -> Result<Files, CliError> {
    let at = Path::new(path);
    let is_folder = Dir::open_ambient_dir(at, ambient_authority()).is_ok();
    let parent = at.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = if is_folder { at } else { parent.unwrap_or(Path::new(".")) };
    let is_manifest = at.extension().is_some_and(|extension| extension == "yaml");
    let manifest_at = if is_manifest { at.to_owned() } else { folder.join(MANIFEST) };
    let manifest_file = manifest_at.display().to_string();
    if !is_folder && !is_manifest {
        // A component by its own name: its bytes count, whatever the manifest calls them.
        let (component, component_file) = (read(at)?, path.to_owned());
        let manifest = match read_text(&manifest_at) {
            Err(error) if error.is_not_found() => None,
            manifest => Some(manifest?),
        };
        return Ok(Files { component, component_file, manifest, manifest_file });
    }
    let manifest = match read_text(&manifest_at) {
        Err(error) if is_folder && error.is_not_found() => {
            return Err(ApiError::MissingManifest(format!(
                "there is no {MANIFEST} in {path}; load its component by name to see one that would \
                 do"
            ))
            .into());
        }
        manifest => manifest?,
    };
    // A manifest with faults names no component; the verb reports its faults.
    let Ok(parsed) = Manifest::parse(&manifest) else {
        let component_file = String::new();
        return Ok(Files {
            component: Vec::new(),
            component_file,
            manifest: Some(manifest),
            manifest_file,
        });
    };
    let (component, component_file) = read_component(folder, &parsed.component)?;
    Ok(Files { component, component_file, manifest: Some(manifest), manifest_file })
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

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| CliError::Io { what: path.display().to_string(), source })?;
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read(path)?)
        .map_err(|_| CliError::Usage(format!("{} is not UTF-8 text", path.display())))
}

fn how(loaded: &LoadedPlugin) -> String {
    let from = if loaded.is_cached { "from the code cache" } else { "compiled" };
    format!("loaded, {from} in {}", Span(Duration::from_micros(loaded.compile_us)))
}

fn describe(installed: &Installed, how: &str) -> String {
    let Installed { plugin, .. } = installed;
    let Manifest { name, version, .. } = &plugin.manifest;
    let table = asked::table(installed);
    let lines = table.lines().map(|line| format!("\n  {line}"));
    format!("{name} {version} ({}) {how}{}", plugin.world.name(), lines.collect::<String>())
}
