//! `audit.verify`: whether the audit is as it was written.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::audit::Verification;
use apflow_model::plugin::Digest;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Looks whether every line of the audit is there, and as it was written. It reads all of them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerifyAudit {
    /// The seal of a line that was written down elsewhere: that line must be there.
    pub head: Option<Digest>,
}

impl Operation for VerifyAudit {
    const NAME: &'static str = "audit.verify";
    const PERMISSION: Permission = Permission::AuditRead;
    type Output = Verification;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Verification, ApiError> {
        Ok(engine.verify_audit(self.head).await?)
    }
}

impl Remote for VerifyAudit {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/audit/verify";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { head: input.take("head")? })
    }
}
