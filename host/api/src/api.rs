//! The one way to every verb.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::Principal;

use crate::error::ApiError;
use crate::operation::Operation;

/// All verbs of a host.
#[derive(Clone)]
pub struct Api {
    engine: Arc<Engine>,
}

impl Api {
    /// Makes the verbs of an engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Does a verb for a caller who is allowed to.
    ///
    /// # Errors
    ///
    /// [`ApiError::Forbidden`] when the caller is not allowed to; else what the verb says.
    pub async fn invoke<O: Operation>(
        &self,
        operation: O,
        caller: &Principal,
    ) -> Result<O::Output, ApiError> {
        if !caller.may(O::PERMISSION) {
            return Err(ApiError::Forbidden { operation: O::NAME, permission: O::PERMISSION });
        }
        let result = operation.run(&self.engine, caller).await;
        let code = result.as_ref().err().map(|error| error.code().name());
        tracing::info!(operation = O::NAME, principal = caller.name, code, "invoked");
        result
    }

    /// Whether work can be taken in and ended.
    ///
    /// # Errors
    ///
    /// With the code [`Code::Draining`](crate::Code::Draining) once the host is about to end, and with
    /// [`Code::DatabaseUnavailable`](crate::Code::DatabaseUnavailable) as long as the database cannot
    /// be written. That passes by itself.
    pub fn check(&self) -> Result<(), ApiError> {
        Ok(self.engine.check()?)
    }
}
