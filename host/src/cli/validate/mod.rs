//! `validate`: checks manifests, for people and for CI.

mod beside;
mod find;
mod finding;
mod github;
mod sarif;
mod text;

use std::path::Path;

use apflow_model::plugin::Digest;
use apflow_model::validate::{Beside, Report, Source, against, check};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::found;
use super::output::Output;
use finding::Level;

/// What `validate` takes.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Manifests, components, folders of manifests, or patterns such as `tools/*/tool.yaml`.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// How to report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Warnings are faults: a fallback that is none of the tools, a circle of fallbacks, a component
    /// that is not there.
    #[arg(long)]
    pub(crate) strict: bool,
    /// The same manifests as they were before: tells what the new ones ask for beside them, and fails
    /// when that is more.
    #[arg(long, value_name = "OLD")]
    pub(crate) against: Option<String>,
    /// With `--against`: asking for more is no failure.
    #[arg(long, requires = "against")]
    pub(crate) allow_more: bool,
}

/// How `validate` reports.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people: the line, and what to do.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
    /// SARIF 2.1.0.
    Sarif,
}

/// Checks every manifest that the paths mean.
pub(crate) fn run(validate: &Validate, output: &Output) -> Result<Exit, CliError> {
    let sources = find::find(&validate.paths)?;
    let mut reports = check(&sources);
    if validate.strict {
        reports.iter_mut().for_each(make_strict);
    }
    if let Some(old) = &validate.against {
        let old = find::find(std::slice::from_ref(old))?;
        against::compare(&old, &sources, &mut reports);
    }
    let report = json!({ "files": &reports });
    let allow_more = validate.allow_more;
    let text = match validate.format {
        Format::Text => text::write(&sources, &reports, allow_more),
        Format::Json => format!("{report:#}"),
        Format::Github => github::write(&reports, allow_more),
        Format::Sarif => format!("{:#}", sarif::write(&reports, allow_more)),
    };
    output.document(&report, &text);
    let is_error = |finding: &finding::Finding<'_>| finding.level == Level::Error;
    let fails = |report| finding::findings(report, allow_more).iter().any(is_error);
    Ok(if reports.iter().any(fails) { Exit::Failed } else { Exit::Ok })
}

/// What a check of one manifest with its component found.
pub(super) struct Checked {
    pub(super) report: Report,
    /// The sha256 of the component, if there was one.
    pub(super) digest: Option<Digest>,
    /// The same for people.
    pub(super) text: String,
}

/// Checks a manifest, with a component wherever that is.
pub(super) fn check_with(manifest: &Path, component: Option<&[u8]>) -> Result<Checked, CliError> {
    let text = found::read_text(manifest)?;
    let source = Source::new(manifest.display().to_string(), text);
    let digest = component.map(beside::digest);
    let component = component.map_or(Beside::Unknown, beside::inspect);
    let sources = [Source { component, ..source }];
    let mut reports = check(&sources);
    let text = text::write(&sources, &reports, false);
    Ok(Checked { report: reports.remove(0), digest, text })
}

/// Makes a fault of whatever is odd.
fn make_strict(report: &mut Report) {
    report.faults.append(&mut report.warnings);
    report.faults.sort_by_key(|fault| (fault.line, fault.column));
    report.valid = report.faults.is_empty();
    report.runnable &= report.valid;
}
