//! `load`: check, compile and install a plugin, or a folder of tools, from disk or from a registry.

use std::time::Duration;

use apflow_api::{GrantPlugin, ListPlugins, LoadPlugin, LoadedPlugin, SaidConsent};
use apflow_model::limit::Span;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::Installed;

use super::arguments::Load;
use super::error::CliError;
use super::exit::Exit;
use super::found::{self, Found};
use super::operator::{self, invoke};
use super::output::Output;
use super::{asked, grant, image};
use crate::config::Config;

pub(crate) async fn run(config: &Config, load: Load, output: &Output) -> Result<Exit, CliError> {
    let consent = consent(config, &load)?;
    let found = if let Some(name) = image::meant(&load.path)? {
        vec![image::pull(config, name, output).await?]
    } else if found::is_there(&load.path) {
        found::find(&load.path)?
    } else if is_builtin(config, &load.path).await? {
        let installed = invoke(config, GrantPlugin { name: load.path, consent }).await?;
        asked::warn(config, &installed.grants, output);
        output.result(&installed, || describe(&installed, "came with the host"));
        return Ok(Exit::Ok);
    } else {
        return Err(image::nothing(&load.path, "nor a plugin of the host"));
    };
    // One after the other: what was loaded before one that is refused is told, and stays.
    let is_one = found.len() == 1;
    for found in found {
        let Found { component, component_file, manifest, manifest_file, typed } = found;
        let consent = consent.clone();
        let typed = Some(typed);
        let loading =
            LoadPlugin { component, component_file, manifest, manifest_file, consent, typed };
        let loaded = operator::with(config, async |operator| operator.load(loading).await).await?;
        asked::warn(config, &loaded.plugin.grants, output);
        let text = || describe(&loaded.plugin, &how(&loaded));
        if is_one { output.result(&loaded, text) } else { output.line(&loaded, text) }
    }
    Ok(Exit::Ok)
}

/// How the operator consents.
fn consent(config: &Config, load: &Load) -> Result<SaidConsent, CliError> {
    if let Some(path) = &load.locked {
        let (lock, lock_file) = (found::read_text(path)?, path.display().to_string());
        let (lock, lock_file) = (Some(lock), Some(lock_file));
        return Ok(SaidConsent { lock, lock_file, ..SaidConsent::default() });
    }
    let grants = grant::all(config, load.grants.clone())?;
    Ok(SaidConsent { grants, all: load.yes, ..SaidConsent::default() })
}

async fn is_builtin(config: &Config, name: &str) -> Result<bool, CliError> {
    let installed = invoke(config, ListPlugins::default()).await?;
    Ok(installed.plugins.iter().any(|installed| {
        let plugin = &installed.plugin;
        plugin.builtin && plugin.manifest.name == name
    }))
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
    format!("{name} {version} ({}) {how}{}", plugin.kind(), lines.collect::<String>())
}
