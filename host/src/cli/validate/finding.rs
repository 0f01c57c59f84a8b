//! What is told of a file, with how much it matters.

use apflow_model::reader::FileFault;
use apflow_model::validate::Report;

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The verb fails because of it.
    Error,
    /// It is odd.
    Warning,
    /// It is told, and that is all.
    Note,
}

/// Something that is told.
pub(super) struct Finding<'a> {
    pub(super) level: Level,
    pub(super) at: &'a FileFault,
}

/// Everything that is told of a file. With `allow_more` it may ask for more than it did.
pub(super) fn findings(report: &Report, allow_more: bool) -> Vec<Finding<'_>> {
    let at = |level| move |at| Finding { level, at };
    let faults = report.faults.iter().map(at(Level::Error));
    let warnings = report.warnings.iter().map(at(Level::Warning));
    let changes = report.changes.iter().map(|change| {
        let level = if change.asks_more && !allow_more { Level::Error } else { Level::Note };
        Finding { level, at: &change.at }
    });
    faults.chain(warnings).chain(changes).collect()
}
