//! `audit.export`: the lines of the audit, to be kept elsewhere, a page at a time.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::audit::{Head, Line};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Hands out the lines of the audit in their order, to be kept and verified elsewhere.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExportAudit {
    /// The number of the line to go on after; 0 for the beginning.
    #[schemars(default)]
    pub after: u64,
}

/// A page of an export.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExportedAudit {
    /// The line that they come after.
    pub after: Head,
    /// The lines. Empty when there are no more.
    pub lines: Vec<Line>,
    /// The last line that there is, as the host keeps it.
    pub last: Head,
}

impl Operation for ExportAudit {
    const NAME: &'static str = "audit.export";
    const PERMISSION: Permission = Permission::AuditRead;
    type Output = ExportedAudit;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<ExportedAudit, ApiError> {
        let mut export = engine.export_audit(self.after).await?;
        let (after, last) = (export.after(), export.last());
        Ok(ExportedAudit { after, lines: export.next().await?.unwrap_or_default(), last })
    }
}

impl Remote for ExportAudit {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/audit/export";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { after: input.take("after")?.unwrap_or(0) })
    }
}
