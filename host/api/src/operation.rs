//! What a verb is.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use serde::Serialize;

use crate::error::ApiError;

/// A verb: its fields are its input.
pub trait Operation: Send + Sized + 'static {
    /// The name in the audit and in messages, for example `jobs.submit`.
    const NAME: &'static str;
    /// What a caller must be allowed.
    const PERMISSION: Permission;
    /// What it answers.
    type Output: Serialize + Send;

    /// What it is about, for the audit: an id or a name. None when its name says it all, and when
    /// what it is about has yet to be made: that is named once it has an id.
    fn target(&self) -> Option<String>;

    /// Why the caller wants it, for the audit, if they told.
    fn reason(&self) -> Option<String> {
        None
    }

    /// Does it. The permission has been checked.
    fn run(
        self,
        engine: &Arc<Engine>,
        caller: &Principal,
    ) -> impl Future<Output = Result<Self::Output, ApiError>> + Send;
}
