//! `tools cache list`, `tools cache clear`.

use apflow_api::{ClearCache, ListCache, Page};
use apflow_model::limit::Bytes;
use clap::Subcommand;

use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::{Output, columns};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum CacheVerb {
    /// List the results that are kept, the newest first.
    List {
        /// Only those of this tool.
        tool: Option<String>,
        /// How many, from 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Forget the results of one tool or of all, so that they run again.
    Clear {
        /// Only those of this tool.
        tool: Option<String>,
    },
}

pub(crate) async fn run(
    config: &Config,
    verb: CacheVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        CacheVerb::List { tool, limit } => list(config, tool, limit, output).await?,
        CacheVerb::Clear { tool } => {
            let cleared = invoke(config, ClearCache { tool }).await?;
            output.result(&cleared, || format!("{} results forgotten", cleared.cleared));
        }
    }
    Ok(Exit::Ok)
}

async fn list(
    config: &Config,
    tool: Option<String>,
    limit: u32,
    output: &Output,
) -> Result<(), CliError> {
    let page = Page { limit: Some(limit), cursor: None };
    let kept = invoke(config, ListCache { tool, page }).await?;
    output.result(&kept, || {
        let total = format!("{} results of all tools, {}", kept.total, Bytes(kept.bytes));
        if kept.results.is_empty() {
            return total;
        }
        let rows = kept.results.iter().map(|result| {
            vec![
                result.tool.clone(),
                result.key.to_string().split_at(12).0.to_owned(),
                Bytes(result.bytes).to_string(),
                result.kept_at.to_string(),
                result.expires_at.to_string(),
            ]
        });
        let heads = ["TOOL", "KEY", "SIZE", "KEPT", "EXPIRES"];
        format!("{}\n\n{total}", columns(&heads, rows.collect(), &[2]))
    });
    Ok(())
}
