//! `audit list`, `audit verify`, `audit export`.

use std::io::{self, BufRead, BufReader};

use apflow_api::{ExportAudit, ListAudit, Page, VerifyAudit};
use apflow_model::audit::{
    Decision, ExportFault, ExportReader, Line, Verification, end_line, first_line,
};
use apflow_model::clock::Timestamp;
use apflow_model::plugin::Digest;
use cap_std::ambient_authority;
use cap_std::fs::File;
use clap::{Args, Subcommand};

use super::error::CliError;
use super::exit::Exit;
use super::json;
use super::operator::{self, invoke};
use super::output::{Output, columns};
use crate::config::{Config, ConfigError};

/// The longest line of an export that is read, in bytes: texts of lines are bounded, and less than
/// that.
const LINE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// List who did what and when, newest first.
    List(Box<ListLines>),
    /// Look whether every line is there, and as it was written.
    Verify {
        /// An export instead of the host's own audit. - for standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
        /// The seal of a line, as an earlier `audit verify` printed it as its head: that line must
        /// be there.
        #[arg(long, value_name = "HASH")]
        head: Option<Digest>,
    },
    /// Print the lines as JSON, to be kept elsewhere and verified there.
    Export {
        /// Go on after the line with this number.
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListLines {
    /// Only what this caller did.
    #[arg(long)]
    principal: Option<String>,
    /// Only this verb, for example `jobs.submit`.
    #[arg(long)]
    verb: Option<String>,
    /// Only what was about this id or name.
    #[arg(long)]
    target: Option<String>,
    /// Only what was decided like this: allowed, refused or failed.
    #[arg(long)]
    decision: Option<Decision>,
    /// Only since this day, for example `2026-01-31`, or this moment in RFC 3339.
    #[arg(long, value_parser = json::day_or_moment)]
    since: Option<Timestamp>,
    /// Only before this day or moment.
    #[arg(long, value_parser = json::day_or_moment)]
    until: Option<Timestamp>,
    /// How many, from 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The cursor that the page before ended with.
    #[arg(long)]
    cursor: Option<u64>,
}

pub(crate) async fn run(
    config: impl Fn() -> Result<Config, ConfigError>,
    verb: AuditVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        AuditVerb::List(wanted) => list(&config()?, *wanted, output).await,
        AuditVerb::Verify { file: Some(file), head } => Ok(report(&read(&file, head)?, output)),
        AuditVerb::Verify { file: None, head } => {
            Ok(report(&invoke(&config()?, VerifyAudit { head }).await?, output))
        }
        AuditVerb::Export { after } => export(&config()?, after, output).await,
    }
}

async fn list(config: &Config, wanted: ListLines, output: &Output) -> Result<Exit, CliError> {
    let ListLines { principal, verb, target, decision, since, until, limit, cursor } = wanted;
    let limit = Some(limit);
    let page = Page { limit, cursor };
    let list = ListAudit { principal, verb, target, decision, since, until, page };
    let listed = invoke(config, list).await?;
    output.result(&listed, || {
        let heads = ["LINE", "AT", "BY", "DID", "ABOUT", "DECISION", "FROM"];
        columns(&heads, listed.lines.iter().map(row).collect(), &[0])
    });
    if let Some(cursor) = listed.cursor {
        output.note(&format!("there may be more: --cursor {cursor}"));
    }
    Ok(Exit::Ok)
}

fn row(line: &Line) -> Vec<String> {
    let record = line.record.clone();
    let code = record.code.map(|code| format!(" {code}")).unwrap_or_default();
    vec![
        line.n.to_string(),
        record.at.to_string(),
        record.principal.unwrap_or_else(|| "-".to_owned()),
        record.verb,
        record.target.unwrap_or_default(),
        format!("{}{code}", record.decision.name()),
        record.peer.unwrap_or_default(),
    ]
}

fn report(found: &Verification, output: &Output) -> Exit {
    output.result(found, || found.to_string());
    if found.intact { Exit::Ok } else { Exit::Failed }
}

async fn export(config: &Config, after: u64, output: &Output) -> Result<Exit, CliError> {
    operator::with(config, async |operator| {
        let mut page = operator.invoke(ExportAudit { after }).await?;
        output.json_line(&first_line(page.after));
        // What is written meanwhile, by this export too, is for the next one.
        let last = page.last;
        while let Some(after) = page.lines.last().map(|line| line.n) {
            for line in page.lines.iter().filter(|line| line.n <= last.n) {
                output.json_line(line);
            }
            if after >= last.n {
                break;
            }
            page = operator.invoke(ExportAudit { after }).await?;
        }
        output.json_line(&end_line(last));
        Ok(Exit::Ok)
    })
    .await
}

/// Reads an export and verifies it.
fn read(file: &str, head: Option<Digest>) -> Result<Verification, CliError> {
    let unreadable = |source| CliError::Io { what: file.to_owned(), source };
    if file == "-" {
        return verify(io::stdin().lock(), head).map_err(unreadable);
    }
    let opened = File::open_ambient(file, ambient_authority()).map_err(unreadable)?;
    verify(BufReader::new(opened), head).map_err(unreadable)
}

fn verify(mut export: impl BufRead, head: Option<Digest>) -> io::Result<Verification> {
    let fault = |fault: ExportFault| io::Error::new(io::ErrorKind::InvalidData, fault);
    let mut reader = ExportReader::new(head);
    let mut line = String::new();
    while io::Read::take(&mut export, LINE_BYTES_MAX).read_line(&mut line)? > 0 {
        reader.read(line.trim_end_matches('\n')).map_err(fault)?;
        line.clear();
    }
    reader.end().map_err(fault)
}
