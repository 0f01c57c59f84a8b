//! `audit.export`: the lines of the audit, to be kept elsewhere.

use std::sync::Arc;

use apflow_engine::{Engine, Export};
use apflow_model::access::{Permission, Principal};
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;

/// Hands out the lines of the audit, in their order. They are answered as a stream, so it is no verb
/// of the table.
#[derive(Debug)]
pub struct ExportAudit {
    /// The number of the line to go on after; 0 for the beginning.
    pub after: u64,
}

/// An audit that is being exported.
#[derive(Debug, Serialize)]
pub struct ExportedAudit {
    /// Its lines.
    #[serde(skip)]
    pub export: Export,
}

impl Operation for ExportAudit {
    const NAME: &'static str = "audit.export";
    const PERMISSION: Permission = Permission::AuditRead;
    type Output = ExportedAudit;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ExportedAudit, ApiError> {
        Ok(ExportedAudit { export: engine.export_audit(self.after).await? })
    }
}
