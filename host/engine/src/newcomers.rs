//! Who submitted the jobs that were taken in last: whoever submits a job and then watches it has
//! nothing looked up.
//!
//! It knows nothing that changes: a job belongs to one principal for as long as it is there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apflow_model::id::JobId;

/// How many jobs are known by heart.
const NEWCOMERS_MAX: usize = 4_096;
/// For how long. Another host may remove a job, and says so to nobody.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// The jobs that this process took in last.
#[derive(Default)]
pub(crate) struct Newcomers(Mutex<Known>);

#[derive(Default)]
struct Known {
    jobs: HashMap<JobId, Arc<str>>,
    order: VecDeque<(JobId, Instant)>,
}

impl Newcomers {
    /// A job was taken in, of this principal.
    pub(crate) fn add(&self, job: JobId, principal: &str, now: Instant) {
        let mut known = self.lock();
        known.forget_past(now);
        if known.order.len() >= NEWCOMERS_MAX
            && let Some((oldest, _)) = known.order.pop_front()
        {
            known.jobs.remove(&oldest);
        }
        known.jobs.insert(job, principal.into());
        known.order.push_back((job, now));
    }

    /// Who submitted a job. None when it is not known here.
    pub(crate) fn owner(&self, job: JobId, now: Instant) -> Option<Arc<str>> {
        let mut known = self.lock();
        known.forget_past(now);
        known.jobs.get(&job).cloned()
    }

    /// Forgets all: a job was removed.
    pub(crate) fn forget(&self) {
        *self.lock() = Known::default();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_past(&mut self, now: Instant) {
        let is_past = |at: Instant| now.saturating_duration_since(at) >= KNOWN_FOR;
        while let Some((job, _)) = self.order.pop_front_if(|(_, at)| is_past(*at)) {
            self.jobs.remove(&job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_known_for_a_while() {
        let (newcomers, start) = (Newcomers::default(), Instant::now());
        let owner = |job, after| newcomers.owner(JobId(job), start + after);
        newcomers.add(JobId(1), "ada", start);
        newcomers.add(JobId(2), "bob", start + Duration::from_secs(1));
        assert_eq!(owner(1, Duration::from_secs(9)).as_deref(), Some("ada"));
        assert_eq!(owner(1, KNOWN_FOR), None);
        assert_eq!(owner(2, KNOWN_FOR).as_deref(), Some("bob"));
        assert_eq!(owner(3, KNOWN_FOR), None);
    }

    #[test]
    fn nothing_is_known_once_a_job_was_removed() {
        let (newcomers, now) = (Newcomers::default(), Instant::now());
        newcomers.add(JobId(1), "ada", now);
        newcomers.forget();
        assert_eq!(newcomers.owner(JobId(1), now), None);
    }

    #[test]
    fn no_more_are_known_than_there_is_room_for() {
        let (newcomers, now) = (Newcomers::default(), Instant::now());
        let count = i64::try_from(NEWCOMERS_MAX).unwrap();
        (0..=count).for_each(|id| newcomers.add(JobId(id), "ada", now));
        assert_eq!(newcomers.owner(JobId(0), now), None);
        assert!(newcomers.owner(JobId(count), now).is_some());
        let known = newcomers.lock();
        assert_eq!((known.jobs.len(), known.order.len()), (NEWCOMERS_MAX, NEWCOMERS_MAX));
    }
}
