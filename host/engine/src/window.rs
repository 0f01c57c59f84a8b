//! The newest events of a job, kept for all who watch it: pages of limited size, oldest first.
//!
//! Whoever is further behind than the window reaches reads the store.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use apflow_model::event::Event;

/// The most events of a page that is read from the store.
pub(crate) const PAGE_EVENTS_MAX: u32 = 256;
/// The most bytes of the events of a page, unless one event alone has more.
pub(crate) const PAGE_BYTES_MAX: usize = 64 << 10;
/// The most events of a window.
pub(crate) const WINDOW_EVENTS_MAX: u64 = 4_096;

/// About how many bytes the JSON of an event has beside its texts.
const JSON_BYTES: usize = 200;

/// Events of one job, in order, without gaps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    page: Arc<Page>,
    from: usize,
}

/// Events as many watchers share them.
#[derive(Debug)]
struct Page {
    events: Vec<Event>,
    /// Each as JSON, once somebody has asked for it.
    json: OnceLock<Vec<String>>,
}

impl Events {
    /// Makes pages of events, each as large as one may be.
    pub(crate) fn pages(mut events: Vec<Event>) -> Vec<Self> {
        let mut pages = Vec::new();
        while !events.is_empty() {
            let rest = events.split_off(fitting(&events, PAGE_BYTES_MAX));
            let page = Page { events, json: OnceLock::new() };
            pages.push(Self { page: Arc::new(page), from: 0 });
            events = rest;
        }
        pages
    }

    /// Those with a number above `n`.
    fn after(&self, n: u64) -> Self {
        let from = self.page.events.partition_point(|event| event.n <= n);
        Self { page: Arc::clone(&self.page), from }
    }

    /// Each event with its JSON, which is written once for all who watch.
    pub fn with_json(&self) -> impl Iterator<Item = (&Event, &str)> {
        // An event is made of texts and numbers, so it has a JSON form.
        let write = |event| serde_json::to_string(event).unwrap_or_default();
        let json = self.page.json.get_or_init(|| self.page.events.iter().map(write).collect());
        self.iter().zip(json[self.from..].iter().map(String::as_str))
    }
}

impl Deref for Events {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.page.events[self.from..]
    }
}

/// How many of the first events have so many bytes together; at least one.
pub(crate) fn fitting(events: &[Event], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += size(event);
        bytes <= bytes_max
    };
    events.iter().take_while(fits).count().max(1)
}

/// About how many bytes an event takes up, and its JSON.
fn size(event: &Event) -> usize {
    size_of::<Event>() + JSON_BYTES + 2 * event.what.text_bytes()
}

/// The newest events of a job.
#[derive(Debug)]
pub(crate) struct Window {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pages: VecDeque<Events>,
    bytes: usize,
    /// The number of the last event, or of the one before the first to come.
    last: u64,
}

impl Window {
    /// An empty window, whose first event will be the one after `last`.
    pub(crate) fn new(last: u64) -> Self {
        Self { kept: Mutex::new(Kept { last, ..Kept::default() }) }
    }

    /// Up to where it reaches.
    pub(crate) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Forgets all, and goes on after `last`.
    pub(crate) fn restart(&self, last: u64) {
        *self.lock() = Kept { last, ..Kept::default() };
    }

    /// Adds the next page, and forgets the oldest ones when there are more than `bytes_max` then.
    pub(crate) fn push(&self, page: Events, bytes_max: usize) {
        let Some(last) = page.last() else { return };
        let mut kept = self.lock();
        kept.last = last.n;
        kept.bytes += page.iter().map(size).sum::<usize>();
        kept.pages.push_back(page);
        while kept.pages.len() > 1 && (kept.bytes > bytes_max || kept.is_long()) {
            let oldest = kept.pages.pop_front();
            let bytes: usize = oldest.iter().flat_map(|page| page.iter()).map(size).sum();
            kept.bytes = kept.bytes.saturating_sub(bytes);
        }
    }

    /// Events that follow the one with this number, if they are kept.
    pub(crate) fn after(&self, n: u64) -> Option<Events> {
        let kept = self.lock();
        let reaches = |page: &Events| page.last().is_some_and(|event| event.n > n);
        let at = kept.pages.partition_point(|page| !reaches(page));
        let events = kept.pages.get(at)?.after(n);
        events.first().is_some_and(|event| event.n == n + 1).then_some(events)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_long(&self) -> bool {
        let first = self.pages.front().and_then(|page| page.first()).map_or(0, |event| event.n);
        self.last - first >= WINDOW_EVENTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::clock::Timestamp;
    use apflow_model::event::Happening;
    use apflow_model::id::{JobId, TaskId};

    use super::*;

    fn event(n: u64, text: &str) -> Event {
        Event {
            n,
            at: Timestamp::from_unix_ms(0),
            job_id: JobId(1),
            task_id: Some(TaskId(2)),
            attempt: 1,
            what: Happening::Stdout { text: text.to_owned() },
        }
    }

    fn page(numbers: impl Iterator<Item = u64>) -> Events {
        Events::pages(numbers.map(|n| event(n, "")).collect()).remove(0)
    }

    fn numbers(events: Option<Events>) -> Option<Vec<u64>> {
        events.map(|events| events.iter().map(|event| event.n).collect())
    }

    #[test]
    fn a_window_answers_what_follows_any_number_it_still_has() {
        let window = Window::new(4);
        window.push(page(5..=6), usize::MAX);
        window.push(page(7..=9), usize::MAX);
        assert_eq!(numbers(window.after(3)), None);
        assert_eq!(numbers(window.after(4)), Some(vec![5, 6]));
        assert_eq!(numbers(window.after(5)), Some(vec![6]));
        assert_eq!(numbers(window.after(6)), Some(vec![7, 8, 9]));
        assert_eq!(numbers(window.after(9)), None);
        assert_eq!(window.last(), 9);
    }

    #[test]
    fn a_window_forgets_its_oldest_pages_and_never_its_newest() {
        let window = Window::new(0);
        window.push(page(1..=2), 1);
        window.push(page(3..=4), 1);
        assert_eq!(numbers(window.after(0)), None);
        assert_eq!(numbers(window.after(2)), Some(vec![3, 4]));
        let mut last = 4;
        while last < 3 * WINDOW_EVENTS_MAX {
            window.push(page(last + 1..=last + 100), usize::MAX);
            last += 100;
        }
        assert_eq!(numbers(window.after(last - WINDOW_EVENTS_MAX - 100)), None);
        assert!(window.after(last - WINDOW_EVENTS_MAX + 100).is_some());
    }

    #[test]
    fn every_event_comes_with_its_own_json() {
        let some = page(1..=3).after(1);
        let numbers = some.with_json().map(|(event, json)| {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            (event.n, json["n"].as_u64())
        });
        assert!(numbers.eq([(2, Some(2)), (3, Some(3))]));
    }

    #[test]
    fn pages_are_cut_by_their_bytes_to_one_event_at_least() {
        let long = "a".repeat(PAGE_BYTES_MAX / 2);
        let lengths = |texts: &[&str]| -> Vec<usize> {
            let events = (1..).zip(texts).map(|(n, text)| event(n, text)).collect();
            Events::pages(events).iter().map(|page| page.len()).collect()
        };
        assert_eq!(lengths(&[&long, "", &long]), [1, 1, 1]);
        assert_eq!(lengths(&["a", "", &long]), [2, 1]);
        assert_eq!(lengths(&[]), [0; 0]);
    }
}
