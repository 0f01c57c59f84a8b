//! Verbs on what was used. None changes it.

mod report;

pub use report::{ReportUsage, UsageReport};
