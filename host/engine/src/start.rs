//! Takes in jobs whose callers wait for their end, and begins at once what needs nothing stored.

use std::sync::Arc;
use std::time::Instant;

use apflow_model::job::{Job, TaskSpec};
use apflow_store::NewJob;

use crate::dispatch;
use crate::eager::{Eager, Running};
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
        let (begun, now) = (Instant::now(), self.now());
        let eager = if acts_outside { Err(job) } else { self.run_eagerly(job).await? };
        let ran = match eager {
            Ok(ran) => ran,
            Err(job) => {
                let stored = if acts_outside {
                    self.store.submit(job, now).await
                } else {
                    self.store.submit_until_ended(job, now).await
                };
                Ran::GoesOn(stored.map_err(EngineError::of_submission)?)
            }
        };
        self.metrics.submit.took(begun.elapsed());
        Ok(ran)
    }

    /// Whether a job may run before it is stored: nothing but a free place may hold it back, and
    /// what it needs is known here.
    fn may_be_eager(&self, job: &NewJob) -> bool {
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
        let (Some(starter), true) = (self.starter().clone(), self.may_be_eager(&job)) else {
            return Ok(Err(job));
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Ok(Err(job)) };
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
