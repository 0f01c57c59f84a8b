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

    /// Does it. The permission has been checked.
    fn run(
        self,
        engine: &Arc<Engine>,
        caller: &Principal,
    ) -> impl Future<Output = Result<Self::Output, ApiError>> + Send;
}
