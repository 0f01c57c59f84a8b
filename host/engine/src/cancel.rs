//! Cancels jobs and tasks: what is stored first, then the guests that run here.
//!
//! An attempt that runs in another process finds out by a hint, or when it next looks whether it
//! holds its task.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, Task};
use apflow_model::state::{JobState, TaskState};
use apflow_model::visible::Visible;
use apflow_sandbox::Stop;
use apflow_store::{Cancelled, JobFilter};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::engine::Engine;
use crate::error::EngineError;

/// How many jobs are cancelled at once: their writes share transactions.
const JOBS_AT_ONCE: u32 = 100;

/// The longest that an answer waits for the end of attempts, so that it usually shows the end.
const END_MAX: Duration = Duration::from_secs(1);

/// How often it is looked whether they have ended, at first and at least.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_LEAST: Duration = Duration::from_millis(50);

impl Engine {
    /// Cancels every task of a job that has not ended. A job that has ended stays as it is.
    ///
    /// Waits for the attempts that run, but no longer than a second: one with a longer grace ends
    /// after the answer. None when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn cancel(
        &self,
        id: JobId,
        visible: Visible<'_>,
    ) -> Result<Option<Job>, EngineError> {
        if !self.sees_job(id, visible).await? {
            return Ok(None);
        }
        let cancelled = self.store.cancel_job(id, self.now()).await?;
        self.end_cancelled(cancelled).await?;
        Ok(self.store.find_job(id).await?)
    }

    /// Cancels a task and all below it. What requires one of them is skipped. A task that has ended
    /// stays as it is.
    ///
    /// Waits as [`Engine::cancel`] does. None when there is no such task that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn cancel_task(
        &self,
        id: TaskId,
        visible: Visible<'_>,
    ) -> Result<Option<Task>, EngineError> {
        if !self.sees_task(id, visible).await? {
            return Ok(None);
        }
        let cancelled = self.store.cancel_task(id, self.now()).await?;
        self.end_cancelled(cancelled).await?;
        Ok(self.store.find_task(id).await?)
    }

    /// Cancels every job that is seen and has not ended, of those that were accepted before this call,
    /// newest first. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails. Some may be cancelled then.
    pub async fn cancel_all(self: &Arc<Self>, visible: Visible<'_>) -> Result<u64, EngineError> {
        let states = vec![JobState::Pending, JobState::Running];
        let principal = visible.owner().map(str::to_owned);
        let filter = JobFilter { states, principal, ..JobFilter::default() };
        let (mut count, mut before, mut running) = (0, None, Vec::new());
        loop {
            let page = self.store.list_jobs(&filter, before, JOBS_AT_ONCE).await?;
            let mut cancelling = JoinSet::new();
            for job in page.jobs {
                let engine = Arc::clone(self);
                cancelling.spawn(async move {
                    let cancelled = engine.store.cancel_job(job.id, engine.now()).await?;
                    Ok::<_, EngineError>(cancelled.map(|cancelled| engine.stop(cancelled)))
                });
            }
            while let Some(cancelled) = cancelling.join_next().await {
                running.extend(cancelled??.into_iter().flatten());
                count += 1;
            }
            if page.next.is_none() {
                self.until_ended(&running).await?;
                return Ok(count);
            }
            before = page.next;
        }
    }

    async fn end_cancelled(&self, cancelled: Option<Cancelled>) -> Result<(), EngineError> {
        let Some(cancelled) = cancelled else { return Ok(()) };
        let running = self.stop(cancelled);
        self.until_ended(&running).await
    }

    /// Tells the guests that run here, and whoever listens. Returns the attempts that run.
    fn stop(&self, cancelled: Cancelled) -> Vec<(TaskId, u32)> {
        let Cancelled { job, running, ended, job_ended, .. } = cancelled;
        self.metrics.tasks_ended(TaskState::Cancelled, ended.len());
        let stops = self.running();
        running.iter().filter_map(|attempt| stops.get(attempt)).for_each(Stop::cancel);
        drop(stops);
        if job_ended.is_some() {
            self.hub.ended(job);
        } else {
            self.hub.changed(job);
        }
        running
    }

    /// Waits until none of these attempts runs, on whichever host, but no longer than [`END_MAX`].
    async fn until_ended(&self, running: &[(TaskId, u32)]) -> Result<(), EngineError> {
        let ended = async {
            let mut wait = LOOK_FIRST;
            while self.store.any_held(running).await? {
                sleep(wait).await;
                wait = (wait * 2).min(LOOK_LEAST);
            }
            Ok(())
        };
        // Running out of time is fine: the answer shows what still runs.
        timeout(END_MAX, ended).await.unwrap_or(Ok(()))
    }
}
