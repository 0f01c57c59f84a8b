//! Reports for people: the line of each fault, and what to do.

use apflow_model::reader::FileFault;
use apflow_model::validate::{Report, Source};

/// How much of a line is shown, in characters.
const LINE_CHARACTERS_MAX: usize = 160;

/// Every fault and warning with its line, and a summary.
pub(super) fn write(sources: &[Source], reports: &[Report]) -> String {
    let mut parts = Vec::new();
    for (source, report) in sources.iter().zip(reports) {
        parts.extend(report.faults.iter().map(|fault| show(source, "error", fault)));
        parts.extend(report.warnings.iter().map(|warning| show(source, "warning", warning)));
    }
    for report in reports.iter().filter(|report| report.valid) {
        let how = if report.runnable { "valid" } else { "valid, not runnable here: no `run`" };
        parts.push(format!("{}: {how}\n", report.path));
    }
    let valid = reports.iter().filter(|report| report.valid).count();
    let faults: usize = reports.iter().map(|report| report.faults.len()).sum();
    let warnings: usize = reports.iter().map(|report| report.warnings.len()).sum();
    let all = reports.len();
    parts.push(format!("{valid} of {all} valid, {faults} faults, {warnings} warnings\n"));
    parts.concat()
}

fn show(source: &Source, severity: &str, fault: &FileFault) -> String {
    let FileFault { line, column, code, fix, .. } = fault;
    let place = usize::try_from(*line).unwrap_or(usize::MAX).saturating_sub(1);
    let shown: String = source
        .text
        .lines()
        .nth(place)
        .unwrap_or_default()
        .chars()
        .take(LINE_CHARACTERS_MAX)
        .collect();
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
