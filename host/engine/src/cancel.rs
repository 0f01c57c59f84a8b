//! Cancels jobs: what is stored first, then the guests that run here.
//!
//! An attempt that runs in another process finds out when it next stores something.

use std::sync::{Arc, PoisonError};

use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::state::JobState;
use apflow_sandbox::StopReason;
use apflow_store::JobFilter;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::EngineError;

/// How many jobs are cancelled at once: their writes share transactions.
const JOBS_AT_ONCE: u32 = 100;

impl Engine {
    /// Cancels every task of a job that has not ended. A job that has ended stays as it is.
    ///
    /// None when there is no such job.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn cancel(&self, id: JobId) -> Result<Option<Job>, EngineError> {
        if let Some(cancelled) = self.store.cancel_job(id, self.now()).await? {
            for task in cancelled.running {
                let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                running
                    .iter()
                    .filter(|((of, _), _)| *of == task)
                    .for_each(|(_, stop)| stop.now(StopReason::Cancelled));
            }
            self.hub.ended(id);
        }
        Ok(self.store.find_job(id).await?)
    }

    /// Cancels every job that has not ended, of those that were accepted before this call, newest
    /// first. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails. Some may be cancelled then.
    pub async fn cancel_all(self: &Arc<Self>) -> Result<u64, EngineError> {
        let states = vec![JobState::Pending, JobState::Running];
        let filter = JobFilter { states, ..JobFilter::default() };
        let (mut count, mut before) = (0, None);
        loop {
            let page = self.store.list_jobs(&filter, before, JOBS_AT_ONCE).await?;
            let mut cancelling = JoinSet::new();
            for job in page.jobs {
                let engine = Arc::clone(self);
                cancelling.spawn(async move { engine.cancel(job.id).await });
            }
            while let Some(cancelled) = cancelling.join_next().await {
                cancelled??;
                count += 1;
            }
            if page.next.is_none() {
                return Ok(count);
            }
            before = page.next;
        }
    }
}
