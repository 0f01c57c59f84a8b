//! Runs a task before its job is stored, for a caller who waits and is told nothing before its end.
//!
//! A job that ends well within a few milliseconds is stored once, with its end. Any other is stored
//! as soon as it takes longer, wants something of the store, or does not end well. From then on it is
//! as any other.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::job::Job;
use apflow_model::state::{JobState, TaskState};
use apflow_store::{
    Claimed, EagerEnd, EagerJob, End, SessionId, Settled, Settlement, Store, StoreError,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, SetOnce, mpsc};

/// The longest that a task runs before its job is stored.
const UNSTORED_MAX: Duration = Duration::from_millis(5);

/// An attempt that runs while somebody waits for it.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An attempt that others wait for from now on, with what it was claimed as.
pub(crate) type Begun = (Arc<Claimed>, Running);

/// Whose attempts begin without a claim, where, and who takes them over once they are stored.
#[derive(Clone)]
pub(crate) struct Starter {
    pub(crate) session: SessionId,
    /// Takes a place, unless others wait for one.
    pub(crate) place: Arc<dyn Fn() -> Option<OwnedSemaphorePermit> + Send + Sync>,
    pub(crate) begun: mpsc::UnboundedSender<Begun>,
}

/// The job of an attempt that began before it was stored.
pub(crate) struct Eager {
    store: Store,
    job: EagerJob,
    /// Rung when the guest wants something for which the job must be stored.
    wanted: Notify,
    /// What became of the wish to store the running job.
    stored: SetOnce<Result<(), StoreError>>,
    /// The job, once it was stored with its end.
    ended: SetOnce<Job>,
}

impl Eager {
    pub(crate) fn new(store: Store, job: EagerJob) -> Arc<Self> {
        let (wanted, stored, ended) = (Notify::new(), SetOnce::new(), SetOnce::new());
        Arc::new(Self { store, job, wanted, stored, ended })
    }

    /// The job as it was planned.
    pub(crate) fn planned(&self) -> &Job {
        self.job.planned()
    }

    /// The job, if it was stored with its end.
    pub(crate) fn ended(&self) -> Option<&Job> {
        self.ended.get()
    }

    /// What became of the wish to store the running job, if there was one.
    pub(crate) fn stored(&self) -> Option<&Result<(), StoreError>> {
        self.stored.get()
    }

    /// Waits until the running job was stored, or could not be. Whether it was.
    pub(crate) async fn has_been_stored(&self) -> bool {
        self.stored.wait().await.is_ok()
    }

    /// Waits until the job should be stored although its task runs.
    pub(crate) async fn is_due(&self) {
        tokio::select! {
            () = self.wanted.notified() => {}
            () = tokio::time::sleep(UNSTORED_MAX) => {}
        }
    }

    /// Asks for the job to be stored, and waits until it is. Whether it is.
    pub(crate) async fn wait_until_stored(&self) -> bool {
        self.wanted.notify_one();
        self.has_been_stored().await
    }

    /// Stores the running job, unless it was. Whether it is stored: else its caller is told why not,
    /// and its attempt is to end.
    pub(crate) async fn store(&self) -> bool {
        if let Some(stored) = self.stored.get() {
            return stored.is_ok();
        }
        let stored = self.store.submit_running(&self.job).await;
        let is_stored = stored.is_ok();
        // One alone stores it: whoever runs the attempt.
        drop(self.stored.set(stored));
        is_stored
    }

    /// Stores the whole job with the end of its attempt, if that was good and nothing is stored yet.
    /// None when it is not: its end is stored as any other then. When it cannot be stored, its caller
    /// is told why, and its end is dropped.
    pub(crate) async fn end(&self, settlement: &Settlement) -> Option<Result<Settled, StoreError>> {
        let Settlement { now, usage, events, end: End::Completed { output, files }, .. } =
            settlement
        else {
            return None;
        };
        if self.stored.get().is_some() || !files.is_empty() {
            return None;
        }
        let (output, events) = (output.clone(), events.clone());
        let end = EagerEnd { at: *now, output, usage: *usage, events };
        let stored = self.store.submit_ended(&self.job, end).await;
        if let Err(error) = &stored {
            drop(self.stored.set(Err(error.clone())));
        }
        Some(stored.map(|job| {
            let id = job.id;
            drop(self.ended.set(job));
            Settled {
                job: id,
                state: TaskState::Completed,
                became_ready: Vec::new(),
                skipped: 0,
                next_run_at: None,
                job_ended: Some(JobState::Completed),
            }
        }))
    }
}
