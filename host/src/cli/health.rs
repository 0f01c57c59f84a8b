//! `tools health`: whether tools can do their work.

use apflow_api::{CheckTool, ListTools};
use apflow_model::tool::health::{HealthStatus, ToolHealth};

use super::error::CliError;
use super::exit::Exit;
use super::operator;
use super::output::{Output, columns};
use crate::config::Config;

/// Looks at one tool, or at all.
pub(crate) async fn run(
    config: &Config,
    name: Option<String>,
    output: &Output,
) -> Result<Exit, CliError> {
    let looks = operator::with(config, async |operator| {
        let names = if let Some(name) = name {
            vec![name]
        } else {
            let listed = operator.invoke(ListTools::default()).await?;
            listed.tools.into_iter().map(|tool| tool.plugin.manifest.name).collect()
        };
        let mut looks = Vec::with_capacity(names.len());
        for name in names {
            looks.push(operator.invoke(CheckTool { name }).await?);
        }
        Ok(looks)
    })
    .await?;
    output.result(&looks, || text(&looks));
    let is_worse = |look: &ToolHealth| look.status == HealthStatus::Unhealthy;
    Ok(if looks.iter().any(is_worse) { Exit::Failed } else { Exit::Ok })
}

fn text(looks: &[ToolHealth]) -> String {
    if looks.is_empty() {
        return "no tool is installed".to_owned();
    }
    let mut rows = Vec::new();
    for look in looks {
        let told = look.issues.iter().map(|issue| format!("{}: {}", issue.check, issue.message));
        let mut told = told.collect::<Vec<_>>().into_iter();
        rows.push(vec![
            look.tool.clone(),
            look.status.name().to_owned(),
            told.next().unwrap_or_default(),
        ]);
        rows.extend(told.map(|issue| vec![String::new(), String::new(), issue]));
    }
    columns(&["TOOL", "STATUS", "ISSUES"], rows, &[])
}
