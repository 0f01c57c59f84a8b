//! Stores new jobs, and begins at once what nothing but a free place could hold back: with the commit
//! that stores it, or before it for a caller who waits for the end.

use std::sync::Arc;
use std::time::Instant;

use apflow_model::job::{Job, TaskSpec};
use apflow_store::{EagerJob, NewJob, Once, StoreError, Submitted};
use tokio::sync::OwnedSemaphorePermit;

use crate::dispatch;
use crate::eager::{Eager, Running, Starter};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::submit::{Checked, NewSubmission};

/// How far a job has come that was taken in.
pub(crate) enum Ran {
    /// It has ended, and is stored.
    Ended(Job),
    /// It is stored, and goes on.
    GoesOn(Job),
}

impl Engine {
    /// Takes a job in for a caller who is told nothing of it before it has ended, or was synced. One
    /// that others may see something of, while it runs, is on the disk before it begins.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`].
    pub(crate) async fn submit_for_end(
        self: &Arc<Self>,
        submission: NewSubmission,
    ) -> Result<Ran, EngineError> {
        let Checked { job, acts_outside } = self.admitted(submission).await?;
        let begun = Instant::now();
        let eager = if acts_outside { Err(job) } else { self.run_eagerly(job).await? };
        let ran = match eager {
            Ok(ran) => ran,
            Err(job) => {
                let stored = if acts_outside {
                    self.store_new(job).await
                } else {
                    self.store.submit_until_ended(job, self.now()).await
                };
                Ran::GoesOn(stored.map_err(EngineError::of_submission)?)
            }
        };
        self.metrics.submit.took(begun.elapsed());
        Ok(ran)
    }

    /// Stores a job. Its task begins in the same commit, where nothing but a free place could hold it
    /// back.
    ///
    /// # Errors
    ///
    /// Why it could not be stored. Nothing of it is then.
    pub(crate) async fn store_new(self: &Arc<Self>, job: NewJob) -> Result<Job, StoreError> {
        let (job, begin) = match self.begun(job).await? {
            Ok(begun) => begun,
            Err(job) => return self.store.submit(job, self.now()).await,
        };
        match self.store.submit_begun(&job, begin).await {
            Err(StoreError::SessionLost) => self.store.submit(job.into_new(), self.now()).await,
            stored => stored,
        }
    }

    /// As [`Engine::store_new`], unless its key stands for a job already.
    ///
    /// # Errors
    ///
    /// As [`Engine::store_new`]; [`StoreError::IdempotencyConflict`] when the key stands for another
    /// submission.
    pub(crate) async fn store_once(
        self: &Arc<Self>,
        job: NewJob,
        once: Once,
    ) -> Result<Submitted, StoreError> {
        let (job, begin) = match self.begun(job).await? {
            Ok(begun) => begun,
            Err(job) => return self.store.submit_once(job, once, self.now()).await,
        };
        match self.store.submit_begun_once(&job, once.clone(), begin).await {
            Err(StoreError::SessionLost) => {
                self.store.submit_once(job.into_new(), once, self.now()).await
            }
            stored => stored,
        }
    }

    /// A job whose task begins in the commit that stores it, and what begins it then. Gives the job
    /// back when it must be claimed.
    async fn begun(
        self: &Arc<Self>,
        job: NewJob,
    ) -> Result<Result<(EagerJob, impl FnOnce() + Send + 'static), NewJob>, StoreError> {
        let Some((starter, place)) = self.place_for(&job) else { return Ok(Err(job)) };
        let job = self.store.begin_eagerly(job, starter.session, self.now()).await?;
        let claimed = Arc::new(job.claimed(self.registry.newest().unwrap_or_default()));
        let running: Running = Box::pin(dispatch::begin(self, &claimed, (Some(place), None)));
        // When nobody takes it over, the session has ended: others run its task again.
        let begin = move || drop(starter.begun.send((claimed, running)));
        Ok(Ok((job, begin)))
    }

    /// Who begins a job at once, and in which place. None where more than a free place may hold it
    /// back, or others wait for one.
    fn place_for(&self, job: &NewJob) -> Option<(Starter, OwnedSemaphorePermit)> {
        if !self.may_begin(job) {
            return None;
        }
        let starter = self.starter().clone()?;
        let place = (starter.place)()?;
        Some((starter, place))
    }

    /// Whether nothing but a free place may hold a job back, and what it needs is known here.
    fn may_begin(&self, job: &NewJob) -> bool {
        let ([task], None, None) = (&*job.spec.tasks, job.spec.token_budget, job.spec.cost_budget)
        else {
            return false;
        };
        let concurrency = Arc::clone(&self.live().concurrency);
        let is_limited = concurrency.of_executor(&task.executor).is_some()
            || concurrency.of_principal(&job.principal).is_some();
        is_simple(task) && !is_limited && !self.breakers.is_known(&task.executor)
    }

    /// Runs the task of a job before it is stored. Gives the job back when it must be stored first.
    ///
    /// # Errors
    ///
    /// Why it could not be stored. Nothing of it is then.
    async fn run_eagerly(
        self: &Arc<Self>,
        job: NewJob,
    ) -> Result<Result<Ran, NewJob>, EngineError> {
        let Some((starter, place)) = self.place_for(&job) else { return Ok(Err(job)) };
        let begun = self.store.begin_eagerly(job, starter.session, self.now()).await;
        let job = begun.map_err(EngineError::of_submission)?;
        let claimed = Arc::new(job.claimed(self.registry.newest().unwrap_or_default()));
        let eager = Eager::new(self.store.clone(), job);
        let beginning = (Some(place), Some(Arc::clone(&eager)));
        let mut running: Running = Box::pin(dispatch::begin(self, &claimed, beginning));
        tokio::select! {
            biased;
            () = &mut running => {}
            is_stored = eager.has_been_stored() => if is_stored {
                // When nobody takes it over, the session has ended: others run its task again.
                drop(starter.begun.send((claimed, running)));
            },
        }
        match (eager.ended(), eager.stored()) {
            (Some(job), _) => Ok(Ok(Ran::Ended(job.clone()))),
            (None, Some(Ok(()))) => Ok(Ok(Ran::GoesOn(eager.planned().clone()))),
            (None, Some(Err(error))) => Err(EngineError::of_submission(error.clone())),
            // It was stopped before anything was stored.
            (None, None) => Err(EngineError::Draining),
        }
    }
}

/// Whether a task needs nothing of the store before it ends, as far as its submission says.
fn is_simple(task: &TaskSpec) -> bool {
    let is_free = task.token_budget.is_none() && task.model.is_none() && task.cost_policy.is_none();
    let is_at_once = task.run_at.is_none() && task.deadline.is_none();
    let is_alone = task.dependencies.is_empty() && task.concurrency.is_none();
    is_free && is_at_once && is_alone && !task.is_tool && !task.needs_approval
}
