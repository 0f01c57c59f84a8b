//! The one way to every verb.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::Principal;
use apflow_model::audit::Record;
use apflow_model::id::JobId;
use apflow_model::metric::Page;
use apflow_model::rate::Standing;
use apflow_model::role::Roles;
use apflow_model::token::{ApiToken, TokenText};

use crate::caller::{Caller, Stranger};
use crate::code::Code;
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
        caller: impl Into<Caller>,
    ) -> Result<O::Output, ApiError> {
        let caller = caller.into();
        let record = Record {
            target: operation.target(),
            reason: operation.reason(),
            ..caller.record(O::NAME, self.engine.now())
        };
        // A verb may hold much: its own place in memory keeps that out of all that waits for it.
        let result = Box::pin(self.perform(operation, &caller, record.clone())).await;
        let code = result.as_ref().err().map(|error| error.code().name());
        tracing::info!(operation = O::NAME, principal = caller.name, code, "invoked");
        if let Err(error) = &result {
            self.note(record, error.code()).await;
        }
        result
    }

    /// Does a verb, if the caller is allowed to, and records that it was done: with the first change
    /// that it makes, or before this returns, or soon after when it only reads.
    async fn perform<O: Operation>(
        &self,
        operation: O,
        caller: &Caller,
        record: Record,
    ) -> Result<O::Output, ApiError> {
        if !caller.may(O::PERMISSION) {
            return Err(ApiError::Forbidden { operation: O::NAME, permission: O::PERMISSION });
        }
        let work = operation.run(&self.engine, caller);
        let (result, unrecorded) = Engine::recorded(record, work).await;
        let output = result?;
        match unrecorded {
            Some(record) if O::PERMISSION.is_read() => self.engine.note_read(record).await,
            Some(record) => self.engine.record(record).await?,
            None => {}
        }
        Ok(output)
    }

    /// Counts a request of a caller. Answers how much is left of each of its limits.
    ///
    /// # Errors
    ///
    /// With the code [`Code::RateLimited`] when there were too many within a minute.
    pub fn count_request(&self, caller: &Principal) -> Result<Vec<Standing>, ApiError> {
        Ok(self.engine.count_request(caller)?)
    }

    /// Records a call that a door refused before the verb was asked. `verb` is its name.
    pub async fn refused(&self, verb: &'static str, by: impl Into<Stranger>, code: Code) {
        let record = by.into().record(verb, self.engine.now());
        self.note(record, code).await;
    }

    async fn note(&self, record: Record, code: Code) {
        let code_name = Some(code.name().to_owned());
        self.engine.note(Record { decision: code.decision(), code: code_name, ..record }).await;
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

    /// Whether a caller sees a job, as what it may do is now. It is for doors that go on telling of
    /// one.
    ///
    /// # Errors
    ///
    /// [`ApiError::Engine`] when the database fails.
    pub async fn sees_job(&self, job: JobId, caller: &Principal) -> Result<bool, ApiError> {
        Ok(self.engine.sees_job(job, caller.sees()).await?)
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
    /// With the code [`Code::Draining`](crate::Code::Draining) once the host is about to end, and with
    /// [`Code::DatabaseUnavailable`](crate::Code::DatabaseUnavailable) as long as the database cannot
    /// be written. That passes by itself.
    pub fn check(&self) -> Result<(), ApiError> {
        Ok(self.engine.check()?)
    }
}
