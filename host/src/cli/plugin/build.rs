//! `plugin build`: a component from a package, checked against its manifest.

use std::path::{Path, PathBuf};

use apflow_model::limit::Bytes;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::Digest;
use apflow_model::validate::Inspected;
use clap::Args;
use serde::Serialize;

use super::cargo::{self, PACKAGE_FILE};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::found;
use crate::cli::output::Output;
use crate::cli::validate::{self, Checked};

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The folder of the plugin, with its Cargo.toml and its plugin.yaml or tool.yaml.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Optimise it, as what is loaded should be.
    #[arg(long)]
    release: bool,
}

/// A component that fits its manifest.
#[derive(Debug, Serialize)]
pub(super) struct Built {
    /// The name of the plugin.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Where the component is.
    pub(super) component: PathBuf,
    /// How many bytes it has.
    bytes: u64,
    /// Their sha256.
    sha256: Digest,
    /// Which kind of program it is.
    world: &'static str,
    /// What it imports beside what every one has.
    imports: Vec<String>,
    /// What it will ask for.
    asks: Vec<String>,
}

pub(super) fn run(asked: &Build, output: &Output) -> Result<Exit, CliError> {
    let Some(built) = build(&asked.folder, asked.release, output)? else {
        return Ok(Exit::Failed);
    };
    output.result(&built, || text(&built, &asked.folder));
    Ok(Exit::Ok)
}

/// Builds a plugin and checks it. None when it does not fit its manifest, which is said then.
pub(super) fn build(
    folder: &Path,
    is_release: bool,
    output: &Output,
) -> Result<Option<Built>, CliError> {
    let manifest = found::manifest_of(folder)?;
    if !has_package(folder) {
        let missing = format!(
            "there is no {PACKAGE_FILE} in {}: build the component as its language has it, and \
             `apflow-host validate` it",
            folder.display()
        );
        return Err(CliError::NotFound(missing));
    }
    // Before minutes are spent on what cannot be loaded.
    let Some(said) = read(&manifest, output)? else { return Ok(None) };
    let files = cargo::build(folder, is_release)?;
    let is_named = |file: &&PathBuf| file.file_name().is_some_and(|name| *name == *said.component);
    let Some(component) = files.iter().find(is_named) else {
        let names = files.iter().filter_map(|file| file.file_name()?.to_str());
        return Err(CliError::Build(format!(
            "{} names the component `{}`, but cargo built {}: a library needs `crate-type = \
             [\"cdylib\"]`, and writes `-` as `_`",
            manifest.display(),
            said.component,
            if files.is_empty() { "none".to_owned() } else { names.collect::<Vec<_>>().join(", ") }
        )));
    };
    let built = check((&manifest, said.clone()), component, output)?;
    if built.is_some() {
        be_found(folder, component, &said.component, output)?;
    }
    Ok(built)
}

/// Whether cargo builds what is in a folder.
pub(super) fn has_package(folder: &Path) -> bool {
    found::read_text(&folder.join(PACKAGE_FILE)).is_ok()
}

/// What a manifest says. None when it has a fault, which is said then.
pub(super) fn read(at: &Path, output: &Output) -> Result<Option<Manifest>, CliError> {
    let Checked { report, text, .. } = validate::check_with(at, None)?;
    match found::definition_text(at)?.read() {
        Ok(definition) => Ok(Some(definition.manifest)),
        Err(_) if report.valid => {
            let silent = format!("{} does not say how it runs: see `run`", at.display());
            Err(CliError::Build(silent))
        }
        Err(_) => {
            output.result(&report, || text);
            Ok(None)
        }
    }
}

/// Checks a component as `validate` does. None when there is a fault, which is said then.
pub(super) fn check(
    (at, said): (&Path, Manifest),
    component: &Path,
    output: &Output,
) -> Result<Option<Built>, CliError> {
    let bytes = found::read(component)?;
    let Checked { report, digest, text } = validate::check_with(at, Some(&bytes))?;
    if !report.valid {
        output.result(&report, || text);
        return Ok(None);
    }
    if !report.warnings.is_empty() {
        output.note(text.trim_end());
    }
    let (Some(Inspected { world, imports, .. }), Some(sha256)) = (report.component, digest) else {
        return Err(CliError::Build(format!("{} names no component to build", at.display())));
    };
    let imports = imports.into_iter().filter(|import| !import.family.is_free());
    Ok(Some(Built {
        name: said.name,
        version: said.version.to_string(),
        component: component.to_owned(),
        bytes: bytes.len() as u64,
        sha256,
        world: world.name(),
        imports: imports.map(|import| import.interface).collect(),
        asks: said.capabilities.lines(),
    }))
}

/// Makes sure that `load` of the folder takes what was built: it looks beside the manifest, then
/// where cargo builds unless it is told otherwise.
fn be_found(folder: &Path, component: &Path, name: &str, output: &Output) -> Result<(), CliError> {
    let built = found::read(component)?;
    match found::read_component(folder, name) {
        Ok((bytes, _)) if bytes == built => {}
        Ok((_, other)) => output.note(&format!(
            "warning: `load` takes {other} before what was just built: remove it, or load {} by its \
             own name beside its manifest",
            component.display()
        )),
        Err(error) if error.is_not_found() => {
            found::write(&folder.join(name), &built)?;
            output.note(&format!(
                "copied it beside its manifest, where `load` looks: cargo builds elsewhere ({})",
                component.display()
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn text(built: &Built, folder: &Path) -> String {
    let Built { name, version, component, bytes, world, imports, asks, sha256 } = built;
    let listed = |texts: &[String]| {
        if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
    };
    format!(
        "built {name} {version}, {world}: {} ({})\n  sha256    {sha256}\n  imports   {}\n  asks for  \
         {}\nnext: apflow-host load {}",
        component.display(),
        Bytes(*bytes),
        listed(imports),
        listed(asks),
        folder.display()
    )
}
