//! What happened in an attempt and is not stored yet: little, however much a guest says.

use apflow_model::event::Happening;
use apflow_store::NewEvent;

/// With so many events it is time to store them.
const EVENTS_MAX: usize = 1_000;
/// With so many bytes of their texts as well.
const BYTES_MAX: usize = 256 << 10;

/// Events that wait to be stored.
#[derive(Debug, Default)]
pub(crate) struct Unstored {
    events: Vec<NewEvent>,
    bytes: usize,
}

impl Unstored {
    /// Adds what happened. Of reports of progress that follow each other only the newest is kept.
    pub(crate) fn add(&mut self, event: NewEvent) {
        self.bytes += event.what.text_bytes();
        if matches!(event.what, Happening::Progress { .. })
            && let Some(last) = self.events.last_mut()
            && matches!(last.what, Happening::Progress { .. })
        {
            self.bytes -= last.what.text_bytes();
            *last = event;
            return;
        }
        self.events.push(event);
    }

    /// Whether as much waits as may.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> Vec<NewEvent> {
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::clock::Timestamp;

    use super::*;

    fn add(unstored: &mut Unstored, what: Happening) {
        unstored.add(NewEvent { at: Timestamp::from_unix_ms(0), what });
    }

    fn progress(message: &str) -> Happening {
        Happening::Progress { fraction: 0.5, message: message.to_owned() }
    }

    fn stdout(bytes: usize) -> Happening {
        Happening::Stdout { text: "a".repeat(bytes) }
    }

    #[test]
    fn only_the_newest_of_successive_reports_of_progress_is_kept() {
        let mut unstored = Unstored::default();
        for message in ["one", "two", "three"] {
            add(&mut unstored, progress(message));
        }
        add(&mut unstored, stdout(1));
        add(&mut unstored, progress("four"));
        let kept: Vec<_> = unstored.take().into_iter().map(|event| event.what).collect();
        assert_eq!(kept, [progress("three"), stdout(1), progress("four")]);
        let long = "a".repeat(BYTES_MAX);
        add(&mut unstored, progress(&long));
        assert!(unstored.is_full());
        add(&mut unstored, progress("short"));
        assert!(!unstored.is_full());
    }

    #[test]
    fn it_is_full_by_events_or_by_bytes() {
        let mut unstored = Unstored::default();
        (1..EVENTS_MAX).for_each(|_| add(&mut unstored, stdout(0)));
        assert!(!unstored.is_full());
        add(&mut unstored, stdout(0));
        assert!(unstored.is_full());
        assert_eq!(unstored.take().len(), EVENTS_MAX);
        add(&mut unstored, stdout(BYTES_MAX - 1));
        assert!(!unstored.is_full());
        add(&mut unstored, stdout(1));
        assert!(unstored.is_full());
    }
}
