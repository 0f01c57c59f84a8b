//! Stores new jobs, and begins at once what nothing but a free place could hold back.

use std::sync::Arc;
use std::time::Instant;

use apflow_model::id::JobId;
use apflow_model::job::{Job, TaskSpec};
use apflow_store::{Claimed, NewJob, Once, StoreError, Submitted};
use tokio::sync::OwnedSemaphorePermit;

use crate::dispatch;
use crate::eager::{Eager, Running, Starter};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::submit::{Checked, NewSubmission};

/// How far a job has come that was taken in.
pub(crate) enum Ran {
    /// It has ended, and is stored.
    Ended {
        /// As it was planned.
        planned: Job,
        /// As it is.
        ended: Job,
    },
    /// It is stored, and goes on.
    GoesOn {
        /// As it was planned.
        planned: Job,
        /// What knows its end first, when its attempt began here.
        eager: Option<Arc<Eager>>,
    },
    /// This job stands for its key already.
    Replayed(JobId),
}

/// When a caller is told of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// As soon as it is stored. It is on the disk then.
    Stored,
    /// When it has ended, or was synced.
    Ended,
}

impl Engine {
    /// Takes a job in for a caller who is told of it once it is stored: as it was planned, however
    /// far it has come.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit_once`].
    pub(crate) async fn take_in_for_ack(
        self: &Arc<Self>,
        submission: NewSubmission,
        once: Option<Once>,
    ) -> Result<Submitted, EngineError> {
        Ok(match self.take_in(submission, once, Told::Stored).await? {
            Ran::Ended { planned, .. } | Ran::GoesOn { planned, .. } => Submitted::New(planned),
            Ran::Replayed(id) => Submitted::Replayed(id),
        })
    }

    /// Takes a job in. Its task begins at once, where nothing but a free place could hold it back.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit_once`].
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        submission: NewSubmission,
        once: Option<Once>,
        told: Told,
    ) -> Result<Ran, EngineError> {
        let Checked { job, acts_outside, can_wait_outside } = self.admitted(submission).await?;
        let begun = Instant::now();
        let is_synced = acts_outside || told == Told::Stored;
        let ran = match self.place_for(&job).filter(|_| can_wait_outside) {
            Some(place) => self.run_eagerly((job, once), is_synced, acts_outside, place).await?,
            None => self.store_new(job, once, is_synced).await?,
        };
        self.metrics.submit.took(begun.elapsed());
        Ok(ran)
    }

    /// Stores a job whose tasks are claimed.
    async fn store_new(
        &self,
        job: NewJob,
        once: Option<Once>,
        is_synced: bool,
    ) -> Result<Ran, EngineError> {
        let now = self.now();
        let stored = match once {
            Some(once) => self.store.submit_once(job, once, now).await,
            None if is_synced => self.store.submit(job, now).await.map(Submitted::New),
            None => self.store.submit_until_ended(job, now).await.map(Submitted::New),
        };
        Ok(match stored.map_err(EngineError::of_submission)? {
            Submitted::New(planned) => Ran::GoesOn { planned, eager: None },
            Submitted::Replayed(id) => Ran::Replayed(id),
        })
    }

    /// Runs the task of a job before it is stored, until it has ended or its job is stored. What acts
    /// outside is stored at once.
    ///
    /// # Errors
    ///
    /// Why it could not be stored. Nothing of it is then.
    async fn run_eagerly(
        self: &Arc<Self>,
        (job, once): (NewJob, Option<Once>),
        is_synced: bool,
        acts_outside: bool,
        (starter, place): (Starter, OwnedSemaphorePermit),
    ) -> Result<Ran, EngineError> {
        let key = once.clone();
        let planned = self.store.begin_eagerly(job, once, starter.session, self.now()).await;
        let planned = planned.map_err(EngineError::of_submission)?;
        let claimed = Arc::new(planned.claimed(self.registry.newest().unwrap_or_default()));
        let eager = Eager::new(self.store.clone(), planned, is_synced);
        let attempt = dispatch::begin(self, &claimed, (Some(place), Some(Arc::clone(&eager))));
        let stores = Arc::clone(&eager);
        let running = async move {
            let storing = async { acts_outside && stores.store().await };
            tokio::join!(storing, attempt);
        };
        let running: Option<Running> = Some(Box::pin(running));
        Held { eager: &eager, claimed, starter, running }.run().await;
        let planned = || eager.job().planned().clone();
        match (eager.stored(), eager.ended()) {
            (Some(Ok(Submitted::New(_))), Some(ended)) => {
                Ok(Ran::Ended { planned: planned(), ended: ended.clone() })
            }
            (Some(Ok(Submitted::New(_))), None) => {
                Ok(Ran::GoesOn { planned: planned(), eager: Some(Arc::clone(&eager)) })
            }
            (Some(Ok(Submitted::Replayed(id))), _) => Ok(Ran::Replayed(*id)),
            (Some(Err(StoreError::SessionLost)), _) => {
                self.store_new(eager.job().new_job().clone(), key, is_synced).await
            }
            (Some(Err(error)), _) => Err(EngineError::of_submission(error.clone())),
            // It was stopped before anything was stored.
            (None, _) => Err(EngineError::Draining),
        }
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
}

/// An attempt that its caller runs. When it is let go of before its end, others run it on, if its job
/// is stored or about to be: also when its caller hangs up.
struct Held<'a> {
    eager: &'a Eager,
    claimed: Arc<Claimed>,
    starter: Starter,
    /// None once it has ended.
    running: Option<Running>,
}

impl Held<'_> {
    /// Runs it until it has ended, or its job was stored or could not be.
    async fn run(mut self) {
        let Some(running) = &mut self.running else { return };
        tokio::select! {
            biased;
            () = running => self.running = None,
            _ = self.eager.has_been_stored() => {}
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && self.eager.may_be_stored()
        {
            // When nobody takes it over, the session has ended: others run its task again.
            drop(self.starter.begun.send((Arc::clone(&self.claimed), running)));
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
