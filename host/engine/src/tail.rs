//! Follows the histories of the jobs that somebody watches: each event is read from the store once,
//! however many watch.
//!
//! One loop reads for all watched jobs, so watching never takes more than one reader of the
//! database beside those who are far behind. It runs while there is a watcher, whether this host
//! dispatches or not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_model::id::JobId;
use apflow_store::{History, Store, StoreError};
use tokio::sync::watch::{Receiver, Sender};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::error::chain;
use crate::window::{Events, PAGE_EVENTS_MAX, WINDOW_EVENTS_MAX, Window};

/// The most watchers at once.
pub(crate) const WATCHERS_MAX: usize = 10_000;
/// The shortest time between two looks, for each watcher that may be woken by one: what is stored
/// meanwhile is read together, and watching takes no more of the host than it can spare.
const ROUND_PER_WATCHER: Duration = Duration::from_micros(20);
/// The least and the most that this comes to.
const ROUND_MIN: Duration = Duration::from_millis(2);
const ROUND_MAX: Duration = Duration::from_millis(20);
/// How often every watched job is looked up, in case its news came from another process.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The most bytes of all windows together, shared evenly, and the most of one.
const WINDOWS_BYTES_MAX: usize = 64 << 20;
const WINDOW_BYTES_MAX: usize = 2 << 20;
/// The most watchers that read the store at once, being further behind than the windows reach. The
/// engine needs readers too.
const CATCHING_UP_MAX: usize = 2;

/// How far a history is known to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of its last event.
    pub(crate) events: u64,
    /// Whether the job has ended with it.
    pub(crate) is_end: bool,
}

/// The histories that somebody watches.
#[derive(Debug)]
pub(crate) struct Tails {
    watched: Mutex<Watched>,
    /// How many jobs are watched, to be read without the lock.
    jobs: AtomicUsize,
    /// Rung when a job is woken.
    bell: Notify,
    /// Rung when nothing more is to come.
    over: Notify,
    catching_up: Semaphore,
}

#[derive(Debug, Default)]
struct Watched {
    tails: HashMap<JobId, Tail>,
    /// The jobs to look at next.
    woken: HashSet<JobId>,
    watchers: usize,
    is_followed: bool,
}

/// The history of one job.
#[derive(Debug)]
struct Tail {
    watchers: usize,
    head: Sender<Head>,
    window: Arc<Window>,
}

/// The place of one watcher, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    tails: Arc<Tails>,
    job: JobId,
    /// How far the history goes.
    pub(crate) head: Receiver<Head>,
    /// The newest events.
    pub(crate) window: Arc<Window>,
}

impl Default for Tails {
    fn default() -> Self {
        Self {
            watched: Mutex::default(),
            jobs: AtomicUsize::new(0),
            bell: Notify::new(),
            over: Notify::new(),
            catching_up: Semaphore::new(CATCHING_UP_MAX),
        }
    }
}

impl Tails {
    /// Has a job looked at soon, if somebody watches it.
    pub(crate) fn wake(&self, job: JobId) {
        if self.jobs.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut watched = self.lock();
        if watched.tails.contains_key(&job) && watched.woken.insert(job) {
            drop(watched);
            self.bell.notify_one();
        }
    }

    /// Has a job looked at that has ended: at once when nobody watches another, for then there is
    /// nothing to wait for that could be read together with it.
    pub(crate) fn end(&self, job: JobId) {
        self.wake(job);
        if self.jobs.load(Ordering::Relaxed) == 1 && self.has(job) {
            self.over.notify_one();
        }
    }

    /// How many watchers there are.
    pub(crate) fn watchers(&self) -> usize {
        self.lock().watchers
    }

    /// Whether somebody watches a job.
    pub(crate) fn has(&self, job: JobId) -> bool {
        self.lock().tails.contains_key(&job)
    }

    /// Takes a place for a watcher who wants what comes after the event with the number `after`.
    /// None when every place is taken.
    pub(crate) fn join(self: &Arc<Self>, job: JobId, after: u64, store: &Store) -> Option<Seat> {
        let mut watched = self.lock();
        if watched.watchers >= WATCHERS_MAX {
            return None;
        }
        watched.watchers += 1;
        let tail = watched.tails.entry(job).or_insert_with(|| Tail {
            watchers: 0,
            head: Sender::new(Head::default()),
            window: Arc::new(Window::new(after)),
        });
        tail.watchers += 1;
        // An ended job may have been taken up again since it was looked at: who comes now waits for
        // the next look.
        tail.head.send_if_modified(|head| {
            head.is_end = false;
            false
        });
        let (head, window) = (tail.head.subscribe(), Arc::clone(&tail.window));
        watched.woken.insert(job);
        self.jobs.store(watched.tails.len(), Ordering::Relaxed);
        if !std::mem::replace(&mut watched.is_followed, true) {
            tokio::spawn(follow(Arc::clone(self), store.clone()));
        }
        drop(watched);
        self.bell.notify_one();
        Some(Seat { tails: Arc::clone(self), job, head, window })
    }

    fn leave(&self, job: JobId) {
        let mut watched = self.lock();
        // After the end of the store there is none.
        let Some(tail) = watched.tails.get_mut(&job) else { return };
        tail.watchers -= 1;
        if tail.watchers == 0 {
            watched.tails.remove(&job);
            watched.woken.remove(&job);
        }
        watched.watchers -= 1;
        self.jobs.store(watched.tails.len(), Ordering::Relaxed);
        if watched.tails.is_empty() {
            // Nothing is left to follow.
            self.bell.notify_one();
        }
    }

    /// The jobs to look at now: those that were woken, or all. None ends the loop.
    fn take_due(&self, is_all: bool) -> Option<Vec<JobId>> {
        let mut watched = self.lock();
        if watched.tails.is_empty() {
            watched.is_followed = false;
            return None;
        }
        let woken = std::mem::take(&mut watched.woken);
        Some(if is_all {
            watched.tails.keys().copied().collect()
        } else {
            woken.into_iter().collect()
        })
    }

    /// Looks how far these jobs have come, and reads what is new.
    async fn look(&self, store: &Store, due: &[JobId]) -> Result<(), StoreError> {
        let histories = store.histories(due).await?;
        self.read_first(store, &histories).await?;
        for history in &histories {
            self.catch_up(store, history).await?;
        }
        let found: HashSet<_> = histories.iter().map(|history| history.job).collect();
        for job in due.iter().filter(|job| !found.contains(job)) {
            // Somebody removed the job. Whoever watches it comes to its end.
            if let Some((head, _, _)) = self.tail(*job) {
                head.send_modify(|head| head.is_end = true);
            }
        }
        Ok(())
    }

    /// Reads the first page of what is new in each of these histories, of many in one question.
    async fn read_first(&self, store: &Store, histories: &[History]) -> Result<(), StoreError> {
        let (mut spans, mut count) = (Vec::new(), 0);
        for history in histories {
            let Some((_, window, _)) = self.tail(history.job) else { continue };
            if history.events.saturating_sub(window.last()) > WINDOW_EVENTS_MAX {
                window.restart(history.events - WINDOW_EVENTS_MAX);
            }
            let after = window.last();
            let last = history.events.min(after + u64::from(PAGE_EVENTS_MAX));
            if last <= after {
                continue;
            }
            if count + last - after > u64::from(PAGE_EVENTS_MAX) {
                self.read(store, &spans).await?;
                (spans, count) = (Vec::new(), 0);
            }
            count += last - after;
            spans.push((history.job, after, last));
        }
        self.read(store, &spans).await
    }

    async fn read(&self, store: &Store, spans: &[(JobId, u64, u64)]) -> Result<(), StoreError> {
        if spans.is_empty() {
            return Ok(());
        }
        let mut events = VecDeque::from(store.list_spans(spans).await?);
        while let Some(first) = events.front() {
            let job = first.job_id;
            let more = events.iter().take_while(|event| event.job_id == job).count();
            let own = events.drain(..more).collect();
            let Some((_, window, bytes_max)) = self.tail(job) else { continue };
            for page in Events::pages(own) {
                window.push(page, bytes_max);
            }
        }
        Ok(())
    }

    /// Reads what else is new in the history of a job, and tells its watchers.
    async fn catch_up(&self, store: &Store, history: &History) -> Result<(), StoreError> {
        let Some((head, window, bytes_max)) = self.tail(history.job) else { return Ok(()) };
        while window.last() < history.events {
            let page = store.list_events(history.job, window.last(), PAGE_EVENTS_MAX).await?;
            if page.is_empty() {
                break;
            }
            for page in Events::pages(page) {
                window.push(page, bytes_max);
            }
        }
        // A page may hold events that came after the look: then it is not yet known whether the job
        // has gone on, and the next look says so.
        let events = history.events.max(window.last());
        let is_end = history.state.is_end() && events == history.events;
        let found = Head { events, is_end };
        head.send_if_modified(|head| std::mem::replace(head, found) != found);
        Ok(())
    }

    /// The parts of a tail, and how many bytes its window may have.
    fn tail(&self, job: JobId) -> Option<(Sender<Head>, Arc<Window>, usize)> {
        let watched = self.lock();
        let tail = watched.tails.get(&job)?;
        let bytes_max = (WINDOWS_BYTES_MAX / watched.tails.len()).min(WINDOW_BYTES_MAX);
        Some((tail.head.clone(), Arc::clone(&tail.window), bytes_max))
    }

    /// Tells every watcher that the store is closed.
    fn close(&self) {
        *self.lock() = Watched::default();
        self.jobs.store(0, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows all histories until nobody watches any.
async fn follow(tails: Arc<Tails>, store: Store) {
    let mut hints = store.hints();
    let (mut looked_at_all, mut is_hinted) = (Instant::now(), false);
    loop {
        let is_all = std::mem::take(&mut is_hinted) || looked_at_all.elapsed() >= LOOK_AGAIN;
        if is_all {
            looked_at_all = Instant::now();
        }
        let Some(due) = tails.take_due(is_all) else { return };
        match tails.look(&store, &due).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return tails.close(),
            Err(error) => tracing::error!(error = chain(&error), "histories could not be read"),
        }
        tokio::select! {
            () = tails.over.notified() => {}
            () = tokio::time::sleep(round_of(tails.watchers())) => {}
        }
        tokio::select! {
            () = tails.bell.notified() => {}
            // Another host does not say which of its jobs went on.
            () = hints.next() => is_hinted = true,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// How long to leave between two looks for so many watchers.
fn round_of(watchers: usize) -> Duration {
    let watchers = u32::try_from(watchers).unwrap_or(u32::MAX);
    ROUND_PER_WATCHER.saturating_mul(watchers).clamp(ROUND_MIN, ROUND_MAX)
}

impl Seat {
    /// Reads the page that follows the event with this number from the store, of at most `limit`
    /// events. None when there is none.
    pub(crate) async fn read(
        &self,
        store: &Store,
        after: u64,
        limit: u32,
    ) -> Result<Option<Events>, StoreError> {
        // It is never closed.
        let _turn = self.tails.catching_up.acquire().await;
        let events = store.list_events(self.job, after, limit).await?;
        Ok(Events::pages(events).into_iter().next())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tails.leave(self.job);
    }
}

#[cfg(test)]
mod tests {
    use apflow_store::Address;

    use super::*;

    #[tokio::test]
    async fn an_end_is_told_at_once_unless_another_job_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Address::File(folder.path().join("apflow.db"))).await.unwrap();
        let tails = Arc::new(Tails::default());
        // The loop would take what is rung here.
        tails.lock().is_followed = true;
        let is_rung =
            async || tokio::time::timeout(Duration::ZERO, tails.over.notified()).await.is_ok();
        let _one = tails.join(JobId(1), 0, &store).unwrap();
        tails.end(JobId(2));
        assert!(!is_rung().await);
        tails.end(JobId(1));
        assert!(is_rung().await);
        let _other = tails.join(JobId(2), 0, &store).unwrap();
        tails.end(JobId(1));
        assert!(!is_rung().await);
    }

    #[test]
    fn the_more_watch_the_longer_is_left_between_two_looks() {
        assert_eq!(round_of(1), Duration::from_millis(2));
        assert_eq!(round_of(512), Duration::from_micros(10_240));
        assert_eq!(round_of(WATCHERS_MAX), Duration::from_millis(20));
    }
}
