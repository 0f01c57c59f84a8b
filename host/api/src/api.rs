//! The one way to every verb.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::Principal;
use apflow_model::metric::Page;

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

    /// Writes the page of all that is counted, and of what there is at present. It tells nothing of
    /// single jobs or callers: doors decide who may read it.
    ///
    /// # Errors
    ///
    /// When the database cannot be read: what is counted in memory is on the page then.
    pub async fn show_metrics(&self, page: &mut Page) -> Result<(), ApiError> {
        Ok(self.engine.show_metrics(page).await?)
    }

    /// Counts the installed plugins, and those of them that are quarantined. It tells nothing of
    /// single ones.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn count_plugins(&self) -> Result<(u64, u64), ApiError> {
        Ok(self.engine.count_plugins().await?)
    }

    /// Whether work can be taken in and ended.
    ///
    /// # Errors
    ///
    /// With the code [`Code::DatabaseUnavailable`](crate::Code::DatabaseUnavailable) as long as the
    /// database cannot be written. It passes by itself.
    pub fn check(&self) -> Result<(), ApiError> {
        Ok(self.engine.check()?)
    }
}
