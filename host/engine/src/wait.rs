//! Waiting for the end of a job.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::id::JobId;
use apflow_model::job::Job;
use apflow_model::visible::Visible;
use tracing::Instrument;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::submit::{self, NewSubmission, Told};

/// How often a waiting caller looks a job up, in case it missed the news of its end.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes a job in as [`Engine::submit`] does, and waits up to `wait` for its end. Answers it as it
    /// stands then.
    ///
    /// When this returns, the job survives a crash. Before it does, the caller knows of no job: so
    /// one whose tasks reach nobody outside is on the disk with its end alone, which saves a wait
    /// for the disk.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`].
    pub async fn submit_and_wait(
        self: &Arc<Self>,
        submission: NewSubmission,
        wait: Duration,
    ) -> Result<Job, EngineError> {
        let principal = submission.principal.clone();
        let submitting = self.submit_new(submission, Told::AtItsEnd).instrument(submit::span());
        let job = self.wait_up_to(wait, submitting.await?, principal.sees()).await?;
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
        let end = self.hub.end_of(id);
        loop {
            // From here on the end is heard, so none slips by between the look and the wait.
            let ended = end.bell.notified();
            match self.store.job_state(id).await? {
                None => return Ok(None),
                Some(state) if state.is_end() => break,
                Some(_) => {}
            }
            tokio::select! {
                () = ended => break,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = self.drain.over() => break,
            }
        }
        Ok(self.store.find_job(id).await?)
    }
}
