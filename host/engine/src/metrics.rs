//! What the engine counts while it works.

use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::metric::{ByName, Counter, Histogram, Page};
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use apflow_store::Claimed;

/// The most executors that are told apart; what others do is counted together.
const EXECUTORS_MAX: usize = 50;
/// The most faults that are told apart. There are fewer.
const FAULTS_MAX: usize = 32;

/// What was counted since the engine was made.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// How long it took until a job was durable.
    pub(crate) submit: Histogram,
    wait: Histogram,
    executors: ByName<OfExecutor>,
    ends: Ends,
    tokens_input: Counter,
    tokens_output: Counter,
    /// The bytes of files that callers uploaded.
    pub(crate) uploaded: Counter,
    left: Counter,
}

#[derive(Debug)]
struct OfExecutor {
    started: Counter,
    took: Histogram,
    ended: ByName<Counter>,
}

#[derive(Debug, Default)]
struct Ends {
    completed: Counter,
    failed: Counter,
    cancelled: Counter,
    skipped: Counter,
}

impl Default for OfExecutor {
    fn default() -> Self {
        Self {
            started: Counter::default(),
            took: Histogram::of_times(),
            ended: ByName::new(FAULTS_MAX),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            submit: Histogram::of_times(),
            wait: Histogram::of_times(),
            executors: ByName::new(EXECUTORS_MAX),
            ends: Ends::default(),
            tokens_input: Counter::default(),
            tokens_output: Counter::default(),
            uploaded: Counter::default(),
            left: Counter::default(),
        }
    }
}

impl Metrics {
    /// Counts a task that was handed out.
    pub(crate) fn started(&self, claimed: &Claimed, now: Timestamp) {
        self.executors.of(&claimed.executor).started.count();
        // Since when one that waited for others was ready is not stored.
        if !claimed.has_dependencies {
            self.wait.took(now.since(claimed.due_at));
        }
    }

    /// Counts an attempt whose end is stored: by its fault, or `none`.
    pub(crate) fn attempt_ended(&self, executor: &str, fault: &'static str, usage: &Usage) {
        let executor = self.executors.of(executor);
        executor.ended.of(fault).count();
        if usage.wall_us > 0 {
            executor.took.took(Duration::from_micros(usage.wall_us));
        }
        self.tokens_input.add(usage.tokens_input);
        self.tokens_output.add(usage.tokens_output);
    }

    /// Counts so many bytes of files that a task left.
    pub(crate) fn left(&self, bytes: u64) {
        self.left.add(bytes);
    }

    /// Counts tasks that ended so. Other states do not count.
    pub(crate) fn tasks_ended(&self, state: TaskState, count: usize) {
        let counter = match state {
            TaskState::Completed => &self.ends.completed,
            TaskState::Failed => &self.ends.failed,
            TaskState::Cancelled => &self.ends.cancelled,
            TaskState::Skipped => &self.ends.skipped,
            TaskState::Blocked
            | TaskState::Scheduled
            | TaskState::Ready
            | TaskState::Running
            | TaskState::Parked => return,
        };
        counter.add(count as u64);
    }

    /// Shows it.
    pub(crate) fn show(&self, page: &mut Page) {
        let help = "Time from the end of a submission's checks until its job was durable.";
        page.histogram("apflow_submit_seconds", help).show_all(&[], &self.submit);
        let help =
            "Time that a task without dependencies waited for a place to run, since it was due.";
        page.histogram("apflow_queue_wait_seconds", help).show_all(&[], &self.wait);
        self.show_attempts(page);
        let help = "Tasks that this host ended, by how; skipped ones go with what they waited for.";
        let ended = page.counter("apflow_tasks_ended_total", help);
        for (end, count) in [
            ("completed", &self.ends.completed),
            ("failed", &self.ends.failed),
            ("cancelled", &self.ends.cancelled),
            ("skipped", &self.ends.skipped),
        ] {
            ended.show(&[("end", end)], count.get());
        }
        let help = "Model tokens that attempts spent.";
        page.counter("apflow_model_tokens_total", help)
            .show(&[("direction", "input")], self.tokens_input.get())
            .show(&[("direction", "output")], self.tokens_output.get());
        let help = "Bytes of files that were taken in: uploads, and what tasks left.";
        page.counter("apflow_file_bytes_total", help)
            .show(&[("of", "upload")], self.uploaded.get())
            .show(&[("of", "task")], self.left.get());
    }

    fn show_attempts(&self, page: &mut Page) {
        let executors = self.executors.all();
        let help = "Attempts that were started, by executor or tool.";
        let started = page.counter("apflow_attempts_started_total", help);
        for (name, of) in &executors {
            started.show(&[("executor", name)], of.started.get());
        }
        let help =
            "Attempts whose end was stored, by executor or tool and fault; none is a success.";
        let ended = page.counter("apflow_attempts_ended_total", help);
        for (name, of) in &executors {
            for (fault, count) in of.ended.all() {
                ended.show(&[("executor", name), ("fault", &fault)], count.get());
            }
        }
        let help = "Time that an attempt spent in the sandbox, by executor or tool.";
        let took = page.histogram("apflow_attempt_seconds", help);
        for (name, of) in executors.iter().filter(|(_, of)| !of.took.is_empty()) {
            took.show_all(&[("executor", name)], &of.took);
        }
    }
}
