//! Wakes those who wait for news of a job: watchers of its history, and callers of its end.
//!
//! It carries no news. What is stored is the truth, so whoever is woken looks there.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use apflow_model::id::JobId;
use tokio::sync::Notify;

use crate::tail::Tails;

/// How many ends are known by heart.
const JUST_ENDED_MAX: usize = 4_096;

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
        self.tails.end(job);
        let mut waiting = self.ends.lock();
        waiting.just_ended.add(job);
        if let Some(bell) = waiting.bells.get(&job).and_then(Weak::upgrade) {
            bell.notify_waiters();
        }
    }

    /// Whether a job is one of those that ended last.
    pub(crate) fn has_just_ended(&self, job: JobId) -> bool {
        self.ends.lock().just_ended.known.contains(&job)
    }

    /// A place to wait for the end of a job.
    pub(crate) fn end_of(&self, job: JobId) -> EndOf {
        let mut waiting = self.ends.lock();
        let bell = waiting.bells.get(&job).and_then(Weak::upgrade).unwrap_or_default();
        waiting.bells.insert(job, Arc::downgrade(&bell));
        drop(waiting);
        EndOf { ends: Arc::clone(&self.ends), job, bell }
    }
}

#[derive(Debug, Default)]
struct Ends {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The bells of jobs whose end somebody waits for.
    bells: HashMap<JobId, Weak<Notify>>,
    just_ended: JustEnded,
}

/// The jobs that ended last. Who begins to wait for one of them need not look it up.
#[derive(Debug, Default)]
struct JustEnded {
    known: HashSet<JobId>,
    order: VecDeque<JobId>,
}

impl JustEnded {
    fn add(&mut self, job: JobId) {
        // One that was redriven ends again.
        if !self.known.insert(job) {
            return;
        }
        self.order.push_back(job);
        if self.order.len() > JUST_ENDED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
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
            waiting.bells.remove(&self.job);
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
        assert_eq!(hub.ends.lock().bells.len(), 1);
        drop(other);
        assert_eq!(hub.ends.lock().bells.len(), 0);
    }

    #[test]
    fn the_ends_that_came_last_are_known() {
        let hub = Hub::default();
        let count = i64::try_from(JUST_ENDED_MAX).unwrap();
        (0..=count).chain([count]).for_each(|id| hub.ended(JobId(id)));
        assert!(hub.has_just_ended(JobId(1)) && hub.has_just_ended(JobId(count)));
        assert!(!hub.has_just_ended(JobId(0)) && !hub.has_just_ended(JobId(count + 1)));
        let just_ended = &hub.ends.lock().just_ended;
        assert_eq!(
            (just_ended.known.len(), just_ended.order.len()),
            (JUST_ENDED_MAX, JUST_ENDED_MAX)
        );
    }
}
