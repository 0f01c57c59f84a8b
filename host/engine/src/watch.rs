//! Watching a job: what happened to it from any number on, then what happens, to its end.
//!
//! Numbers have no gaps, so what a watcher is handed is always what follows the last number it saw,
//! wherever it comes from. That makes the place where the past ends and the present begins no matter
//! of luck.

use std::sync::Arc;
use std::time::Instant;

use apflow_model::event::Event;
use apflow_model::id::JobId;
use apflow_model::visible::Visible;
use apflow_store::{Store, StoreError};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::tail::{Seat, Tails, WATCHERS_MAX};
use crate::window::{Events, PAGE_EVENTS_MAX, fitting};

/// The most bytes of the events of a listed page, unless one event alone has more.
const LIST_BYTES_MAX: usize = 4 << 20;

/// A part of a job's history.
#[derive(Debug)]
pub struct EventPage {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The number to go on after. None when there is no more to come.
    pub next: Option<u64>,
}

impl Engine {
    /// Watches a job from the event after the one with the number `after`; 0 for the first.
    ///
    /// None when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooManyWatchers`] when every place is taken, and [`EngineError::Store`].
    pub async fn watch(
        &self,
        job: JobId,
        after: u64,
        visible: Visible<'_>,
    ) -> Result<Option<Watch>, EngineError> {
        if !self.sees_job(job, visible).await? {
            return Ok(None);
        }
        let is_new = self.newcomers.owner(job, Instant::now()).is_some();
        Watch::begin(&self.hub.tails, &self.store, job, is_new, after).await
    }

    /// Lists a job's events after the one with the number `after`, at most `limit` of them, and
    /// fewer when they are large. `limit` is brought into 1 to 1000.
    ///
    /// None when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_events(
        &self,
        job: JobId,
        after: u64,
        limit: u32,
        visible: Visible<'_>,
    ) -> Result<Option<EventPage>, EngineError> {
        if !self.sees_job(job, visible).await? {
            return Ok(None);
        }
        // Before the events: what comes after this look is not missed, but listed or left to come.
        let Some(history) = self.store.histories(&[job]).await?.pop() else { return Ok(None) };
        let mut events = self.store.list_events(job, after, limit).await?;
        events.truncate(fitting(&events, LIST_BYTES_MAX));
        let last = events.last().map_or(after, |event| event.n);
        let is_all = history.state.is_end() && last >= history.events;
        Ok(Some(EventPage { events, next: (!is_all).then_some(last) }))
    }
}

/// The history of one job as it grows.
#[derive(Debug)]
pub struct Watch {
    seat: Seat,
    store: Store,
    /// The number of the last event that was handed out.
    after: u64,
    /// How many events to read at once.
    limit: u32,
}

impl Watch {
    async fn begin(
        tails: &Arc<Tails>,
        store: &Store,
        job: JobId,
        is_new: bool,
        after: u64,
    ) -> Result<Option<Self>, EngineError> {
        let from = if is_new {
            // It is there, and its history is short: it is read from its beginning on.
            0
        } else if tails.has(job) {
            // A crowd that comes to one job looks it up once.
            after
        } else {
            let Some(history) = store.histories(&[job]).await?.pop() else { return Ok(None) };
            after.min(history.events)
        };
        let seat = tails.join(job, from, store);
        let seat = seat.ok_or(EngineError::TooManyWatchers(WATCHERS_MAX))?;
        Ok(Some(Self { seat, store: store.clone(), after, limit: PAGE_EVENTS_MAX }))
    }

    /// Waits for what comes next. None when the job has ended and nothing is left.
    ///
    /// Nothing is kept for a watcher that is slow to ask: it is handed what is stored.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails. The watcher may ask again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the returned future is dropped.
    pub async fn next(&mut self) -> Result<Option<Events>, EngineError> {
        let after = self.after;
        let news = self.seat.head.wait_for(|head| head.events > after || head.is_end).await;
        let head = *news.map_err(|_| StoreError::Closed)?;
        if head.events <= after {
            return Ok(None);
        }
        let events = match self.seat.window.after(after) {
            Some(events) => Some(events),
            None => self.seat.read(&self.store, after, self.limit).await?,
        };
        // Somebody removed the job where there is none.
        let Some(events) = events else { return Ok(None) };
        self.after = events.last().map_or(after, |event| event.n);
        // Where events are large, a page holds few: the rest would be read in vain.
        let twice = u32::try_from(events.len().saturating_mul(2)).unwrap_or(PAGE_EVENTS_MAX);
        self.limit = twice.min(PAGE_EVENTS_MAX);
        Ok(Some(events))
    }

    /// The number to go on after: that of the last event that was handed out.
    pub fn after(&self) -> u64 {
        self.after
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use apflow_model::clock::Timestamp;
    use apflow_model::event::Happening;
    use apflow_model::fair::Limits;
    use apflow_model::fault::{Fault, FaultCode};
    use apflow_model::job::JobSpec;
    use apflow_model::usage::Usage;
    use apflow_store::{Address, Claimed, End, NewEvent, NewJob, Settlement};
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;
    use crate::window::WINDOW_EVENTS_MAX;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
    const PATIENCE: Duration = Duration::from_mins(1);
    const LEASE: Duration = Duration::from_hours(1);

    /// A job whose tasks all run, and those who may watch it.
    struct Scene {
        _folder: TempDir,
        store: Store,
        tails: Arc<Tails>,
        job: JobId,
    }

    impl Scene {
        async fn with_tasks(count: usize) -> (Self, Vec<Claimed>) {
            let folder = tempfile::tempdir().unwrap();
            let address = Address::File(folder.path().join("apflow.db"));
            let store = Store::open(&address).await.unwrap();
            let session = store.open_session("test".to_owned(), NOW, LEASE).await.unwrap();
            let task = |n: usize| json!({ "id": n.to_string(), "executor": "noop" });
            let tasks: Vec<_> = (0..count).map(task).collect();
            let spec = JobSpec::parse(json!({ "tasks": tasks })).unwrap();
            let job = NewJob { spec, principal: "ada".to_owned(), grants: Vec::new() };
            let job = store.submit(job, NOW).await.unwrap().id;
            let free = u32::try_from(count).unwrap();
            let claimed = store.claim(session, NOW, free, Limits::default()).await.unwrap().tasks;
            assert_eq!(claimed.len(), count);
            (Self { _folder: folder, store, tails: Arc::default(), job }, claimed)
        }

        async fn watch(&self, after: u64) -> Watch {
            let watch = Watch::begin(&self.tails, &self.store, self.job, false, after).await;
            watch.unwrap().unwrap()
        }

        async fn say(&self, claimed: &Claimed, count: usize) {
            let text = "a line".to_owned();
            let event = NewEvent { at: NOW, what: Happening::Stdout { text } };
            let events = vec![event; count];
            self.store.append_events(claimed.task, claimed.attempt, events).await.unwrap();
            self.tails.wake(self.job);
        }

        async fn settle(&self, claimed: &Claimed, end: End) {
            let (task, attempt) = (claimed.task, claimed.attempt);
            let (usage, events) = (Usage::default(), Vec::new());
            let settlement = Settlement { task, attempt, now: NOW, end, usage, events };
            self.store.settle(settlement).await.unwrap();
            self.tails.wake(self.job);
        }

        /// Every event that is stored.
        async fn stored(&self) -> Vec<Event> {
            let mut all: Vec<Event> = Vec::new();
            loop {
                let after = all.last().map_or(0, |event| event.n);
                let page = self.store.list_events(self.job, after, 1_000).await.unwrap();
                if page.is_empty() {
                    return all;
                }
                all.extend(page);
            }
        }
    }

    fn completed() -> End {
        End::Completed { output: json!({}), files: Vec::new() }
    }

    /// Everything that a watcher is handed until the job has ended.
    async fn all(mut watch: Watch) -> Vec<Event> {
        let mut seen = Vec::new();
        let watching = async {
            while let Some(events) = watch.next().await.unwrap() {
                seen.extend_from_slice(&events);
            }
        };
        tokio::time::timeout(PATIENCE, watching).await.unwrap();
        seen
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_watcher_sees_every_event_once_and_in_order_while_many_write() {
        let (scene, claimed) = Scene::with_tasks(40).await;
        let scene = Arc::new(scene);
        let mut writing = JoinSet::new();
        for (n, claimed) in claimed.into_iter().enumerate() {
            let scene = Arc::clone(&scene);
            writing.spawn(async move {
                for count in [1, 7, 20] {
                    scene.say(&claimed, count).await;
                }
                let fault = Fault::new(FaultCode::Permanent, "no");
                let end = if n % 3 == 0 { End::Failed { fault } } else { completed() };
                scene.settle(&claimed, end).await;
            });
        }
        let mut watching = JoinSet::new();
        for n in 0..200 {
            let scene = Arc::clone(&scene);
            watching.spawn(async move {
                let after = n % 50;
                (after, all(scene.watch(after).await).await)
            });
            tokio::task::yield_now().await;
        }
        while let Some(written) = writing.join_next().await {
            written.unwrap();
        }
        let stored = scene.stored().await;
        assert!(stored.iter().map(|event| event.n).eq(1..=40 * (1 + 1 + 28 + 1)));
        while let Some(watched) = watching.join_next().await {
            let (after, seen) = watched.unwrap();
            assert_eq!(seen, stored[usize::try_from(after).unwrap()..]);
        }
        // What a watcher makes of the events is what the rows say.
        let mut states = HashMap::new();
        for event in stored {
            if let (Some(task), Happening::State { state, .. }) = (event.task_id, event.what) {
                states.insert(task, state);
            }
        }
        let job = scene.store.find_job(scene.job).await.unwrap().unwrap();
        assert!(job.tasks.iter().all(|task| states[&task.id] == task.state));
    }

    #[tokio::test]
    async fn a_watcher_that_fell_behind_reads_what_the_window_has_no_more() {
        let (scene, claimed) = Scene::with_tasks(1).await;
        let mut slow = scene.watch(0).await;
        let mut seen = slow.next().await.unwrap().unwrap().to_vec();
        assert_eq!(seen.len(), 2);
        let many = WINDOW_EVENTS_MAX + 1_000;
        for _ in 0..many / 100 {
            scene.say(&claimed[0], 100).await;
        }
        while slow.seat.window.last() < many / 100 * 100 + 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(slow.seat.window.after(2).is_none(), "the window has it all");
        scene.settle(&claimed[0], completed()).await;
        seen.extend(all(slow).await);
        assert_eq!(seen, scene.stored().await);
        assert_eq!(all(scene.watch(0).await).await, seen);
    }

    #[tokio::test]
    async fn a_job_that_has_ended_is_replayed_from_any_number() {
        let (scene, claimed) = Scene::with_tasks(1).await;
        scene.settle(&claimed[0], completed()).await;
        let numbers = async |after| -> Vec<u64> {
            all(scene.watch(after).await).await.iter().map(|event| event.n).collect()
        };
        assert_eq!(numbers(0).await, [1, 2, 3]);
        assert_eq!(numbers(2).await, [3]);
        assert_eq!(numbers(3).await, [0; 0]);
        assert_eq!(numbers(1_000).await, [0; 0]);
        let nobody = Watch::begin(&scene.tails, &scene.store, JobId(1), false, 0).await.unwrap();
        assert!(nobody.is_none());
    }

    #[tokio::test]
    async fn a_new_job_is_watched_from_any_number_without_a_look_before() {
        let (scene, claimed) = Scene::with_tasks(1).await;
        let mut watches = Vec::new();
        for after in [0, 2, 1_000] {
            let watch = Watch::begin(&scene.tails, &scene.store, scene.job, true, after).await;
            watches.push(watch.unwrap().unwrap());
        }
        scene.settle(&claimed[0], completed()).await;
        let mut seen = Vec::new();
        for watch in watches {
            seen.push(all(watch).await.len());
        }
        assert_eq!(seen, [3, 1, 0]);
        // One that another host has removed meanwhile ends at once.
        let gone = Watch::begin(&scene.tails, &scene.store, JobId(1), true, 0).await;
        assert_eq!(all(gone.unwrap().unwrap()).await, []);
    }

    #[tokio::test]
    async fn what_another_process_stores_is_found_without_a_word() {
        let (scene, claimed) = Scene::with_tasks(1).await;
        let watch = scene.watch(0).await;
        let (task, attempt, now) = (claimed[0].task, claimed[0].attempt, NOW);
        let (usage, events) = (Usage::default(), Vec::new());
        let settlement = Settlement { task, attempt, now, end: completed(), usage, events };
        let (seen, settled) = tokio::join!(all(watch), scene.store.settle(settlement));
        settled.unwrap();
        assert_eq!(seen.len(), 3);
    }

    #[tokio::test]
    async fn places_are_limited_and_given_back() {
        let (scene, _) = Scene::with_tasks(1).await;
        let join = || scene.tails.join(scene.job, 0, &scene.store);
        let seats: Vec<_> = (0..WATCHERS_MAX).map(|_| join().unwrap()).collect();
        assert!(join().is_none());
        let refused = Watch::begin(&scene.tails, &scene.store, scene.job, false, 0).await;
        assert!(matches!(refused, Err(EngineError::TooManyWatchers(WATCHERS_MAX))));
        drop(seats);
        let mut watch = scene.watch(0).await;
        assert_eq!(watch.next().await.unwrap().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_watcher_is_told_when_the_store_closes() {
        let (scene, _) = Scene::with_tasks(1).await;
        let mut watch = scene.watch(2).await;
        let watching = tokio::time::timeout(PATIENCE, watch.next());
        let (seen, ()) = tokio::join!(watching, scene.store.close());
        assert!(matches!(seen.unwrap(), Err(EngineError::Store(StoreError::Closed))));
    }
}
