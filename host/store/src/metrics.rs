//! What the store counts while it works.

use std::time::Duration;

use apflow_model::metric::{Counter, Histogram, Page};

/// What was counted since the database was opened.
#[derive(Debug)]
pub(crate) struct Metrics {
    failed: Counter,
    writes: Histogram,
    took: Histogram,
    /// Checkpoints that were saved.
    pub(crate) checkpoints: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            failed: Counter::default(),
            writes: Histogram::of_sizes(),
            took: Histogram::of_times(),
            checkpoints: Counter::default(),
        }
    }
}

impl Metrics {
    /// Counts a commit of so many writes.
    pub(crate) fn committed(&self, writes: usize, took: Duration, is_well: bool) {
        if is_well {
            self.writes.observe(writes as u64);
            self.took.took(took);
        } else {
            self.failed.count();
        }
    }

    /// Shows it, and how many writes wait, by what for.
    pub(crate) fn show(&self, waits: [(&'static str, usize); 2], page: &mut Page) {
        let help = "Time that a commit took, from its first statement until it was durable.";
        page.histogram("apflow_commit_seconds", help).show_all(&[], &self.took);
        let help = "Writes that were committed together.";
        page.histogram("apflow_commit_writes", help).show_all(&[], &self.writes);
        let help = "Commits that failed as a whole: the database could not be written.";
        page.counter("apflow_commits_failed_total", help).show(&[], self.failed.get());
        let help =
            "Writes that wait for the next commit: of running work (urgent) and of new work.";
        let waiting = page.gauge("apflow_writes_waiting", help);
        for (lane, count) in waits {
            waiting.show(&[("lane", lane)], count);
        }
        let help = "Checkpoints that running tasks saved.";
        page.counter("apflow_checkpoints_saved_total", help).show(&[], self.checkpoints.get());
    }
}
