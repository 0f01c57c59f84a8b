//! Verbs on the audit. None changes it.

mod export;
mod list;
mod verify;

pub use export::{ExportAudit, ExportedAudit};
pub use list::{AuditList, ListAudit};
pub use verify::VerifyAudit;
