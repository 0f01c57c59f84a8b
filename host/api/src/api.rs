//! The one way to every verb.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::Principal;
use apflow_model::role::Roles;
use apflow_model::token::{ApiToken, TokenText};

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

    /// Why newer policies were refused, a sentence each. Empty when the newest are in force.
    pub fn policy_troubles(&self) -> Vec<String> {
        self.engine.policy_troubles()
    }

    /// The roles of callers.
    pub fn roles(&self) -> Arc<Roles> {
        self.engine.roles()
    }

    /// The API token with this text, if it opens anything now. It is for doors, which have no caller
    /// before.
    ///
    /// # Errors
    ///
    /// [`ApiError::Engine`] when the database fails.
    pub async fn admit_token(&self, text: &TokenText) -> Result<Option<ApiToken>, ApiError> {
        Ok(self.engine.admit_token(text).await?)
    }

    /// Whether the JSON web token with this `jti` is revoked.
    ///
    /// # Errors
    ///
    /// [`ApiError::Engine`] when the database fails.
    pub async fn is_jwt_revoked(&self, jti: &str) -> Result<bool, ApiError> {
        Ok(self.engine.is_jwt_revoked(jti).await?)
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
