//! `plugins list`, `plugins show`, `plugins verify`, `plugins remove`, `plugins release`.

use apflow_api::{ListPlugins, Page, ReleasePlugin, RemovePlugin, ShowPlugin, VerifyPlugin};
use apflow_model::limit::{Bytes, Span};
use apflow_model::plugin::Installed;
use apflow_model::verification::{Alteration, PluginVerification};

use super::arguments::PluginsVerb;
use super::asked;
use super::error::CliError;
use super::exit::Exit;
use super::operator::{self, invoke};
use super::output::{Output, columns, shorten};
use super::page::note_more;
use crate::config::Config;

/// How much of a description a list shows.
const DESCRIPTION_CHARACTERS_MAX: usize = 60;

pub(crate) async fn run(
    config: &Config,
    verb: PluginsVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        PluginsVerb::List(page) => list(config, page.into(), output).await,
        PluginsVerb::Show { name } => show(config, name, output).await,
        PluginsVerb::Verify { name } => verify(config, name, output).await,
        PluginsVerb::Remove { name } => remove(config, name, output).await,
        PluginsVerb::Release { name } => release(config, name, output).await,
    }
}

async fn list(
    config: &Config,
    page: Page<String, 1_000>,
    output: &Output,
) -> Result<Exit, CliError> {
    let listed = invoke(config, ListPlugins { page }).await?;
    output.result(&listed, || table(&listed.plugins));
    note_more(listed.cursor.as_ref(), output);
    Ok(Exit::Ok)
}

/// Plugins or tools, each on a line.
pub(super) fn table(listed: &[Installed]) -> String {
    let row = |installed: &Installed| {
        let Installed { plugin, grants, .. } = installed;
        let manifest = &plugin.manifest;
        vec![
            manifest.name.clone(),
            manifest.version.to_string(),
            plugin.kind().to_owned(),
            if plugin.builtin { "host" } else { "loaded" }.to_owned(),
            if plugin.quarantined_at.is_some() { "quarantined" } else { "ready" }.to_owned(),
            asked::list(grants),
            shorten(&manifest.description, DESCRIPTION_CHARACTERS_MAX),
        ]
    };
    let rows = listed.iter().map(row).collect();
    columns(&["NAME", "VERSION", "KIND", "FROM", "STATE", "GRANTED", "DESCRIPTION"], rows, &[])
}

async fn show(config: &Config, name: String, output: &Output) -> Result<Exit, CliError> {
    let plugin = invoke(config, ShowPlugin { name }).await?;
    output.result(&plugin, || detail(&plugin));
    Ok(Exit::Ok)
}

/// Verifies one plugin, or all.
async fn verify(config: &Config, name: Option<String>, output: &Output) -> Result<Exit, CliError> {
    let verified = operator::with(config, async |operator| {
        let names = if let Some(name) = name {
            vec![name]
        } else {
            let listed = operator.invoke(ListPlugins::default()).await?;
            listed.plugins.into_iter().map(|installed| installed.plugin.manifest.name).collect()
        };
        let mut verified = Vec::with_capacity(names.len());
        for name in names {
            verified.push(operator.invoke(VerifyPlugin { name }).await?);
        }
        Ok(verified)
    })
    .await?;
    output.result(&verified, || verifications(&verified));
    let is_intact = verified.iter().all(|one| one.intact);
    Ok(if is_intact { Exit::Ok } else { Exit::Failed })
}

/// A line for each plugin, and below them what is wrong.
fn verifications(verified: &[PluginVerification]) -> String {
    let row = |one: &PluginVerification| {
        let state = if one.intact { "intact" } else { "altered" };
        let code = one.code.name().to_owned();
        vec![
            one.plugin.clone(),
            one.version.clone(),
            state.to_owned(),
            code,
            one.digest.to_string(),
        ]
    };
    let rows = verified.iter().map(row).collect();
    let told = verified.iter().flat_map(|one| {
        let plugin = &one.plugin;
        one.alterations.iter().map(move |Alteration { check, what, fix }| {
            format!("\n\n{plugin}: {check}: {what}\n  {fix}")
        })
    });
    let told: String = told.collect();
    format!("{}{told}", columns(&["NAME", "VERSION", "STATE", "CODE", "SHA256"], rows, &[]))
}

async fn remove(config: &Config, name: String, output: &Output) -> Result<Exit, CliError> {
    let removed = invoke(config, RemovePlugin { name }).await?;
    output.result(&removed, || {
        format!("{} {} removed", removed.manifest.name, removed.manifest.version)
    });
    Ok(Exit::Ok)
}

async fn release(config: &Config, name: String, output: &Output) -> Result<Exit, CliError> {
    let released = invoke(config, ReleasePlugin { name }).await?;
    output.result(&released, || format!("{} may run", released.plugin.manifest.name));
    Ok(Exit::Ok)
}

fn detail(installed: &Installed) -> String {
    let Installed { plugin, .. } = installed;
    let (manifest, limits) = (&plugin.manifest, &plugin.manifest.limits);
    let state = plugin.quarantined_at.map_or_else(
        || "ready".to_owned(),
        |since| format!("quarantined since {since}: hosts ended while it ran"),
    );
    let fuel = limits.fuel.map_or_else(|| "none".to_owned(), |fuel| fuel.to_string());
    let rows = [
        ("name", manifest.name.clone()),
        ("version", manifest.version.to_string()),
        ("description", plugin.descriptor.description.clone()),
        ("kind", plugin.kind().to_owned()),
        ("from", if plugin.builtin { "the host" } else { "load" }.to_owned()),
        ("sha256", plugin.digest.to_string()),
        ("grants for", plugin.bound_to.to_string()),
        ("state", state),
        ("memory", Bytes(limits.memory_bytes).to_string()),
        ("timeout", Span(limits.timeout).to_string()),
        ("fuel", fuel),
        ("output", Bytes(limits.output_bytes).to_string()),
        ("log", Bytes(limits.log_bytes).to_string()),
        ("http requests", limits.http_requests.to_string()),
        ("http body", Bytes(limits.http_body_bytes).to_string()),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let input = serde_json::to_string_pretty(&plugin.descriptor.input_schema).unwrap_or_default();
    let asks = asked::table(installed);
    format!("{}\n\n{asks}\n\ninput schema\n{input}", columns(&[], rows, &[]))
}
