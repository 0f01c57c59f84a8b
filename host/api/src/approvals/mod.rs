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
    Ok(input.take_body::<Body>()?.reason)
}
