//! Runs a task before its job is stored.
//!
//! Nobody outside sees what a guest does before it reaches out, so until then it may run ahead of the
//! disk. A job that ends well within a few milliseconds is stored once, with its end. Any other is
//! stored as soon as it takes longer, wants something of the store, or does not end well; and one
//! that may reach out is stored at once, and reaches out once it is. From then on it is as any other.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apflow_model::job::Job;
use apflow_model::state::{JobState, TaskState};
use apflow_store::{
    Claimed, EagerEnd, EagerJob, End, SessionId, Settled, Settlement, Store, StoreError, Submitted,
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
    /// Whether its running task is on the disk once it is stored.
    is_synced: bool,
    /// Rung when the guest wants something for which the job must be stored.
    wanted: Notify,
    /// Whether somebody stores it, or has.
    is_asked: AtomicBool,
    /// What became of that.
    stored: SetOnce<Result<Submitted, StoreError>>,
    /// The job, once its task has ended well.
    ended: SetOnce<Job>,
}

impl Eager {
    pub(crate) fn new(store: Store, job: EagerJob, is_synced: bool) -> Arc<Self> {
        let (wanted, is_asked) = (Notify::new(), AtomicBool::new(false));
        let (stored, ended) = (SetOnce::new(), SetOnce::new());
        Arc::new(Self { store, job, is_synced, wanted, is_asked, stored, ended })
    }

    /// The job, and what it was planned from.
    pub(crate) fn job(&self) -> &EagerJob {
        &self.job
    }

    /// The job, if its task has ended well.
    pub(crate) fn ended(&self) -> Option<&Job> {
        self.ended.get()
    }

    /// What became of the wish to store the job, if there was one.
    pub(crate) fn stored(&self) -> Option<&Result<Submitted, StoreError>> {
        self.stored.get()
    }

    /// Whether the job is stored, or about to be.
    pub(crate) fn may_be_stored(&self) -> bool {
        let is_refused = self.stored.get().is_some_and(|stored| !is_new(stored));
        self.is_asked.load(Ordering::Acquire) && !is_refused
    }

    /// Waits until the job was stored, or could not be. Whether it was.
    pub(crate) async fn has_been_stored(&self) -> bool {
        is_new(self.stored.wait().await)
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

    /// Stores the running job, unless somebody does. Whether it is stored: else its caller is told why
    /// not, and its attempt is to end.
    pub(crate) async fn store(&self) -> bool {
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            // Only whoever asks sets it.
            drop(self.stored.set(self.store.submit_running(&self.job, self.is_synced).await));
        }
        self.has_been_stored().await
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
        if !files.is_empty() || self.is_asked.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (output, events) = (output.clone(), events.clone());
        let end = EagerEnd { at: *now, output, usage: *usage, events };
        let stored = self.store.submit_ended(&self.job, end).await;
        let settled = match &stored {
            Ok(Submitted::New(job)) => {
                drop(self.ended.set(job.clone()));
                Ok(Settled {
                    job: job.id,
                    state: TaskState::Completed,
                    was_cancelled: false,
                    became_ready: Vec::new(),
                    skipped: 0,
                    next_run_at: None,
                    job_ended: Some(JobState::Completed),
                })
            }
            Ok(Submitted::Replayed(_)) => Err(StoreError::AttemptLost),
            Err(error) => Err(error.clone()),
        };
        drop(self.stored.set(stored));
        Some(settled)
    }

    /// Takes note of an end that was stored after the job, as any other.
    pub(crate) fn was_settled(&self, settlement: &Settlement, settled: &Settled) {
        if let End::Completed { output, .. } = &settlement.end
            && settled.job_ended == Some(JobState::Completed)
            && !settled.was_cancelled
        {
            let ended = self.job.ended(settlement.now, output.clone(), settlement.usage);
            drop(self.ended.set(ended));
        }
    }
}

fn is_new(stored: &Result<Submitted, StoreError>) -> bool {
    matches!(stored, Ok(Submitted::New(_)))
}
