//! `tools list`, `tools show`, `tools run`, `tools health`, `tools cache`.

use apflow_api::{ListTools, ShowTool};
use apflow_model::limit::Span;
use apflow_model::plugin::Installed;
use apflow_model::tool::metrics::ToolMetrics;
use apflow_model::tool::{Argument, Category, Flag, Tool};

use super::arguments::ToolsVerb;
use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use super::run::{Named, run_task};
use super::{asked, cache, health, plugins};
use crate::config::Config;

pub(crate) async fn run(
    config: &Config,
    verb: ToolsVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        ToolsVerb::List(page) => {
            let listed = invoke(config, ListTools { page: page.into() }).await?;
            output.result(&listed, || plugins::table(&listed.tools));
            note_more(listed.cursor.as_ref(), output);
        }
        ToolsVerb::Show { name } => {
            let shown = invoke(config, ShowTool { name }).await?;
            output.result(&shown, || {
                format!("{}\n\n{}", detail(&shown.installed), runs(&shown.metrics))
            });
        }
        ToolsVerb::Health { name } => return health::run(config, name, output).await,
        ToolsVerb::Cache { verb } => return cache::run(config, verb, output).await,
        ToolsVerb::Run { name, task } => {
            return run_task(config, Named { name, is_tool: true }, task, output).await;
        }
    }
    Ok(Exit::Ok)
}

fn detail(installed: &Installed) -> String {
    let Some(tool) = &installed.plugin.tool else { return String::new() };
    let called = |category: &Category| {
        let known = Category::ALL.iter().find(|(_, known)| known == category);
        known.map_or("", |(name, _)| *name)
    };
    let categories = tool.categories.iter().map(called).collect::<Vec<_>>();
    let fallback = tool.fallback.as_ref().map_or("none", |fallback| fallback.tool.as_str());
    let cached = tool.cache_ttl.map_or("never".to_owned(), |ttl| format!("for {}", Span(ttl)));
    let rows = [
        ("name", tool.name.clone()),
        ("version", tool.version.to_string()),
        ("description", tool.description.clone()),
        ("kind", installed.plugin.kind().to_owned()),
        ("category", categories.join(", ")),
        ("usage", tool.usage()),
        ("fallback", fallback.to_owned()),
        ("cached", cached),
        ("approval", if tool.requires_approval { "each run" } else { "not needed" }.to_owned()),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let asks = asked::table(installed);
    format!("{}\n\n{}\n\n{asks}", columns(&[], rows, &[]), inputs(tool))
}

/// How its runs went.
fn runs(metrics: &ToolMetrics) -> String {
    let ms = |us: Option<u64>| {
        us.map_or("-".to_owned(), |us| format!("{}.{:03} ms", us / 1_000, us % 1_000))
    };
    let row = vec![
        metrics.runs.to_string(),
        metrics.successes.to_string(),
        metrics.failures.to_string(),
        metrics.fallbacks.to_string(),
        metrics.cache_hits.to_string(),
        metrics.cache_misses.to_string(),
        ms(metrics.median_us),
        ms(metrics.p95_us),
    ];
    let heads =
        ["RUNS", "GOOD", "FAILED", "FALLBACKS", "CACHE HITS", "CACHE MISSES", "MEDIAN", "P95"];
    columns(&heads, vec![row], &[0, 1, 2, 3, 4, 5, 6, 7])
}

/// What it takes, by the names that a task gives it.
fn inputs(tool: &Tool) -> String {
    let argument = |one: &Argument| {
        let needed = match (&one.default, one.required) {
            (Some(default), _) => format!("{default} if left out"),
            (None, true) => "needed".to_owned(),
            (None, false) => "may be left out".to_owned(),
        };
        let description = one.description.clone().unwrap_or_default();
        vec![one.name.clone(), one.value_type.name().to_owned(), needed, description]
    };
    let flag = |one: &Flag| {
        let kind = if one.has_argument { "string" } else { "boolean" };
        let description = one.description.clone().unwrap_or_default();
        vec![one.key(), kind.to_owned(), format!("flag {}", one.flag), description]
    };
    let arguments = tool.arguments.iter().map(argument);
    let rows: Vec<_> = arguments.chain(tool.flags.iter().map(flag)).collect();
    if rows.is_empty() {
        return "takes nothing".to_owned();
    }
    columns(&["INPUT", "TYPE", "", "DESCRIPTION"], rows, &[])
}
