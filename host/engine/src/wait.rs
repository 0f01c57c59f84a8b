//! Waiting for the end of a job.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::state::JobState;
use apflow_model::visible::Visible;
use tracing::Instrument;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::start::{Ran, Told};
use crate::submit::{self, NewSubmission};

/// How often a waiting caller looks a job up, in case it missed the news of its end.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes a job in as [`Engine::submit`] does, and waits up to `wait` for its end. Answers it as it
    /// stands then.
    ///
    /// When this returns, the job survives a crash. Before it does, the caller knows of no job: so
    /// one whose tasks reach nobody outside is on the disk with its end alone, and one that ends
    /// well at once is stored with it.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`].
    pub async fn submit_and_wait(
        self: &Arc<Self>,
        submission: NewSubmission,
        wait: Duration,
    ) -> Result<Job, EngineError> {
        // It holds an attempt: its own place in memory keeps that out of all that waits for it.
        let submitting = Box::pin(self.take_in(submission, None, Told::Ended));
        let (planned, eager) = match submitting.instrument(submit::span()).await? {
            Ran::Ended { ended, .. } => return Ok(ended),
            Ran::GoesOn { planned, eager } => (planned, eager),
            Ran::Replayed(id) => {
                return self.store.find_job(id).await?.ok_or(EngineError::RemovedJob(id));
            }
        };
        let ended = tokio::time::timeout(wait, self.hear_end(planned.id, true)).await;
        ended.unwrap_or(Ok(()))?;
        if let Some(ended) = eager.as_ref().and_then(|eager| eager.ended()) {
            return Ok(ended.clone());
        }
        let job = self.store.find_job(planned.id).await?.unwrap_or(planned);
        if !job.state.is_end() {
            self.store.sync().await?;
        }
        Ok(job)
    }

    /// Waits up to `wait` for the end of a job, and answers it as it stands then.
    ///
    /// # Errors
    ///
    /// As [`Engine::wait`].
    pub async fn wait_up_to(
        &self,
        wait: Duration,
        job: Job,
        visible: Visible<'_>,
    ) -> Result<Job, EngineError> {
        let now = match tokio::time::timeout(wait, self.wait(job.id, visible)).await {
            Ok(ended) => ended?,
            Err(_) => self.find_job(job.id, visible).await?,
        };
        Ok(now.unwrap_or(job))
    }

    /// Waits until a job has ended, or until this host runs nothing any more.
    ///
    /// None when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn wait(&self, id: JobId, visible: Visible<'_>) -> Result<Option<Job>, EngineError> {
        if !self.sees_job(id, visible).await? {
            return Ok(None);
        }
        self.hear_end(id, false).await?;
        Ok(self.store.find_job(id).await?)
    }

    /// Waits for the end of a job. Of a new one it is known by heart whether it has ended already.
    async fn hear_end(&self, id: JobId, mut is_new: bool) -> Result<(), EngineError> {
        let end = self.hub.end_of(id);
        loop {
            // From here on the end is heard, so none slips by between the look and the wait.
            let ended = end.bell.notified();
            let is_over = if std::mem::take(&mut is_new) {
                self.hub.has_just_ended(id)
            } else {
                self.store.job_state(id).await?.is_none_or(JobState::is_end)
            };
            if is_over {
                return Ok(());
            }
            tokio::select! {
                () = ended => return Ok(()),
                () = self.drain.over() => return Ok(()),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
}
