//! Wakes those who wait for news of a job: watchers of its history, and callers of its end.
//!
//! It carries no news. What is stored is the truth, so whoever is woken looks there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use apflow_model::id::JobId;
use tokio::sync::Notify;

use crate::tail::Tails;

/// Whom to wake. All clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub {
    /// Those who watch histories.
    pub(crate) tails: Arc<Tails>,
    ends: Arc<Ends>,
}

impl Hub {
    /// Events of a job were stored: here, or on another host that says so. Costs nothing worth
    /// mentioning when nobody watches it.
    pub(crate) fn changed(&self, job: JobId) {
        self.tails.wake(job);
    }

    /// The last task of a job has ended, and that is stored.
    pub(crate) fn ended(&self, job: JobId) {
        self.tails.wake(job);
        if let Some(bell) = self.ends.lock().get(&job).and_then(Weak::upgrade) {
            bell.notify_waiters();
        }
    }

    /// A place to wait for the end of a job.
    pub(crate) fn end_of(&self, job: JobId) -> EndOf {
        let mut waiting = self.ends.lock();
        let bell = waiting.get(&job).and_then(Weak::upgrade).unwrap_or_default();
        waiting.insert(job, Arc::downgrade(&bell));
        drop(waiting);
        EndOf { ends: Arc::clone(&self.ends), job, bell }
    }
}

/// The bells of jobs whose end somebody waits for.
#[derive(Debug, Default)]
struct Ends {
    waiting: Mutex<HashMap<JobId, Weak<Notify>>>,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Weak<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place to wait for the end of a job, until it is dropped.
pub(crate) struct EndOf {
    ends: Arc<Ends>,
    job: JobId,
    /// Rung at the end. It is heard from the moment that `notified` is called.
    pub(crate) bell: Arc<Notify>,
}

impl Drop for EndOf {
    fn drop(&mut self) {
        let mut waiting = self.ends.lock();
        // Under the lock, nobody can join meanwhile.
        if Arc::strong_count(&self.bell) == 1 {
            waiting.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId(1);

    #[tokio::test]
    async fn an_end_is_heard_by_all_who_wait_for_it() {
        let hub = Hub::default();
        let (one, other) = (hub.end_of(JOB), hub.end_of(JOB));
        let (heard, also) = (one.bell.notified(), other.bell.notified());
        hub.ended(JobId(2));
        hub.ended(JOB);
        heard.await;
        also.await;
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let hub = Hub::default();
        let (one, other) = (hub.end_of(JOB), hub.end_of(JOB));
        drop(one);
        assert_eq!(hub.ends.lock().len(), 1);
        drop(other);
        assert_eq!(hub.ends.lock().len(), 0);
    }
}
