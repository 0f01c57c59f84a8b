//! What let a watcher in, asked anew for as long as it watches: a stream outlives neither its token
//! nor what its role may do.

use std::time::Duration;

use apflow_api::{Operation, WatchJob, chain};
use apflow_model::access::Principal;
use apflow_model::id::JobId;
use axum::http::request::Parts;

use super::Door;
use super::auth::{Holder, shown};

/// How often a watcher is asked for. What was looked up is remembered for about as long, so a crowd
/// of watchers with one token looks it up once.
const EVERY: Duration = Duration::from_secs(2);

/// Why a pass lets nobody in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lapse {
    /// What was shown opens nothing any more.
    Unauthorized,
    /// Who showed it may not watch the job any more.
    Forbidden,
}

/// What let a watcher in.
pub(super) struct Pass {
    door: Door,
    /// What it showed.
    text: String,
    /// Who it was then.
    caller: Principal,
    job: JobId,
}

impl Pass {
    /// What let the sender of a request watch a job as this caller.
    pub(super) fn new(door: &Door, request: &Parts, caller: &Principal, job: JobId) -> Self {
        Self {
            door: door.clone(),
            text: shown(&request.headers).unwrap_or_default().to_owned(),
            caller: caller.clone(),
            job,
        }
    }

    /// Waits until it lets nobody in any more, and says why.
    pub(super) async fn lapsed(&self) -> Lapse {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(lapse) = self.check().await {
                return lapse;
            }
        }
    }

    /// Who holds it now.
    ///
    /// # Errors
    ///
    /// Why nobody does, or why they may not watch the job.
    pub(super) async fn check(&self) -> Result<Principal, Lapse> {
        let holder = match self.door.access.holder(&self.text).await {
            Holder::Known(principal) => principal,
            Holder::Nobody => return Err(Lapse::Unauthorized),
            // It has failed for everybody, and may be over soon.
            Holder::Unsure => return Ok(self.caller.clone()),
        };
        // Whose a job is never changes, so it is asked for only when less is seen than before.
        let sees_job = holder.sees() == self.caller.sees()
            || self.door.api.sees_job(self.job, &holder).await.unwrap_or_else(|error| {
                tracing::warn!(error = chain(&error), "whether a watcher may watch is not known");
                true
            });
        if holder.may(WatchJob::PERMISSION) && sees_job {
            Ok(holder)
        } else {
            Err(Lapse::Forbidden)
        }
    }
}
