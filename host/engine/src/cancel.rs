//! Cancels jobs: what is stored first, then the guests that run here.
//!
//! An attempt that runs in another process finds out when it next stores something.

use std::sync::PoisonError;

use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::state::TaskState;
use apflow_sandbox::StopReason;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::watch::Live;

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
                drop(running);
                let fault = Some(Fault::new(FaultCode::Cancelled, "somebody cancelled the job"));
                let what = Happening::State { state: TaskState::Cancelled, fault };
                self.hub.tell(Live::Task { job: id, task, attempt: 0, what });
            }
            self.hub.tell(Live::JobEnded { job: id, state: cancelled.state });
        }
        Ok(self.store.find_job(id).await?)
    }
}
