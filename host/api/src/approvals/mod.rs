//! Verbs on approvals.

mod approve;
mod deny;
mod list;

use apflow_model::approval::Reason;
use serde::Deserialize;

use crate::error::ApiError;
use crate::remote::Input;

pub use approve::ApproveTask;
pub use deny::DenyTask;
pub use list::{ApprovalList, ListApprovals};

/// The body of a request, which may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    reason: Option<Reason>,
}

/// Reads why somebody decides.
fn reason(input: &mut Input) -> Result<Option<Reason>, ApiError> {
    let body = input.body.take().map(serde_json::from_value::<Body>).transpose();
    let unreadable = |error| ApiError::InvalidRequest(format!("the body: {error}"));
    Ok(body.map_err(unreadable)?.unwrap_or_default().reason)
}
