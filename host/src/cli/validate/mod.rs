//! `validate`: checks manifests, for people and for CI.

mod find;
mod github;
mod sarif;
mod text;

use apflow_model::validate::{Report, check};
use serde_json::json;

use super::arguments::{Format, Validate};
use super::error::CliError;
use super::exit::Exit;
use super::output::Output;

/// Checks every manifest that the paths mean.
pub(crate) fn run(validate: &Validate, output: &Output) -> Result<Exit, CliError> {
    let sources = find::find(&validate.paths)?;
    let mut reports = check(&sources);
    if validate.strict {
        reports.iter_mut().for_each(make_strict);
    }
    let report = json!({ "files": &reports });
    let text = match validate.format {
        Format::Text => text::write(&sources, &reports),
        Format::Json => format!("{report:#}"),
        Format::Github => github::write(&reports),
        Format::Sarif => format!("{:#}", sarif::write(&reports)),
    };
    output.document(&report, &text);
    let is_valid = reports.iter().all(|report| report.valid);
    Ok(if is_valid { Exit::Ok } else { Exit::Failed })
}

/// Makes a fault of whatever is odd.
fn make_strict(report: &mut Report) {
    report.faults.append(&mut report.warnings);
    report.faults.sort_by_key(|fault| (fault.line, fault.column));
    report.valid = report.faults.is_empty();
    report.runnable &= report.valid;
}
