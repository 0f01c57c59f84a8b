//! Reports for people: the line of each fault, and what to do.

use apflow_model::limit::Bytes;
use apflow_model::reader::FileFault;
use apflow_model::validate::{Inspected, Report, Source};

use super::finding::{Level, findings};

/// How much of a line is shown, in characters.
const LINE_CHARACTERS_MAX: usize = 160;

/// Every finding with its line, and a summary.
pub(super) fn write(sources: &[Source], reports: &[Report], allow_more: bool) -> String {
    let mut parts = Vec::new();
    for (source, report) in sources.iter().zip(reports) {
        for finding in findings(report, allow_more) {
            let severity = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Note => "note",
            };
            parts.push(show(source, severity, finding.at));
        }
    }
    for report in reports.iter().filter(|report| report.valid) {
        let how = if report.runnable { "valid" } else { "valid, not runnable here: no `run`" };
        let component = report.component.as_ref().map(describe).unwrap_or_default();
        parts.push(format!("{}: {how}{component}\n", report.path));
    }
    let valid = reports.iter().filter(|report| report.valid).count();
    let faults: usize = reports.iter().map(|report| report.faults.len()).sum();
    let warnings: usize = reports.iter().map(|report| report.warnings.len()).sum();
    let all = reports.len();
    parts.push(format!("{valid} of {all} valid, {faults} faults, {warnings} warnings\n"));
    let changes: Vec<_> = reports.iter().flat_map(|report| &report.changes).collect();
    if !changes.is_empty() {
        let more = changes.iter().filter(|change| change.asks_more).count();
        parts.push(format!("{} changes, {more} of them ask for more\n", changes.len()));
    }
    parts.concat()
}

/// What a component is: its kind, its size, and what it imports beside what every one has.
fn describe(component: &Inspected) -> String {
    let Inspected { bytes, world, imports } = component;
    let imports = imports.iter().filter(|import| !import.family.is_free());
    let names: Vec<&str> = imports.map(|import| import.interface.as_str()).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    format!("; component: {}, {}, imports {names}", world.name(), Bytes(*bytes))
}

fn show(source: &Source, severity: &str, fault: &FileFault) -> String {
    let FileFault { line, column, code, fix, .. } = fault;
    let place = usize::try_from(*line).unwrap_or(usize::MAX).saturating_sub(1);
    let text = source.text();
    let shown: String =
        text.lines().nth(place).unwrap_or_default().chars().take(LINE_CHARACTERS_MAX).collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let before = usize::try_from(column.saturating_sub(1)).unwrap_or(0).min(shown.chars().count());
    // A tab stays one, so that the mark stands below its place.
    let indent: String =
        shown.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!(
        "{severity}[{code}]: {}\n{margin}--> {}:{line}:{column}\n{margin} |\n\
         {number} | {shown}\n{margin} | {indent}^\n{margin} = fix: {fix}\n\n",
        fault.sentence(),
        source.path
    )
}
