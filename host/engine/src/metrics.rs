//! What the engine counts while it works, and the page of all that is counted below the doors.

use std::time::Duration;

use apflow_model::breaker::BreakerState;
use apflow_model::clock::Timestamp;
use apflow_model::metric::{ByName, Counter, Histogram, Page};
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use apflow_store::{Claimed, Stock, ToolCounts};

use crate::engine::Engine;
use crate::error::EngineError;

/// The most executors that are told apart; what others do is counted together.
const EXECUTORS_MAX: usize = 50;
/// The most tools whose runs are shown.
const TOOLS_MAX: u32 = 100;
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

    fn show(&self, page: &mut Page) {
        let help = "Time from the end of a submission's checks until its job was durable.";
        page.histogram("apflow_submit_seconds", help).show_all(&[], &self.submit);
        let help =
            "Time that a task without dependencies waited for a place to run, since it was due.";
        page.histogram("apflow_queue_wait_seconds", help).show_all(&[], &self.wait);
        self.show_attempts(page);
        let help = "Tasks that this host ended, by how; skipped ones go with what they waited for.";
        let mut ended = page.counter("apflow_tasks_ended_total", help);
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
        let mut started = page.counter("apflow_attempts_started_total", help);
        for (name, of) in &executors {
            started.show(&[("executor", name)], of.started.get());
        }
        let help =
            "Attempts whose end was stored, by executor or tool and fault; none is a success.";
        let mut ended = page.counter("apflow_attempts_ended_total", help);
        for (name, of) in &executors {
            for (fault, count) in of.ended.all() {
                ended.show(&[("executor", name), ("fault", &fault)], count.get());
            }
        }
        let help = "Time that an attempt spent in the sandbox, by executor or tool.";
        let mut took = page.histogram("apflow_attempt_seconds", help);
        for (name, of) in executors.iter().filter(|(_, of)| !of.took.is_empty()) {
            took.show_all(&[("executor", name)], &of.took);
        }
    }
}

impl Engine {
    /// Writes the page of all that is counted, and of what there is at present.
    ///
    /// It costs the same however many tasks there are.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database cannot be read: what is counted in memory is on the
    /// page then, and the rest is not.
    pub async fn show_metrics(&self, page: &mut Page) -> Result<(), EngineError> {
        self.metrics.show(page);
        self.sandbox.show_metrics(page);
        self.store.show_metrics(page);
        let help = "Watchers of jobs.";
        page.gauge("apflow_watchers", help).show(&[], self.hub.tails.watchers());
        let help = "Attempts that may run at once.";
        page.gauge("apflow_attempts_max", help).show(&[], self.settings.attempts_max);
        let help = "Whether the database can be written.";
        let is_up = u8::from(self.store.trouble().is_none());
        page.gauge("apflow_database_up", help).show(&[], is_up);
        self.show_breakers(page).await?;
        let stock = self.store.stock(TOOLS_MAX).await?;
        show_stock(&stock, self.now(), page);
        show_tools(&stock.tools, page);
        Ok(())
    }

    async fn show_breakers(&self, page: &mut Page) -> Result<(), EngineError> {
        let listed = self.breakers.list().await?;
        let help = "Breakers that are open, tried again, or closed with counted failures.";
        let mut breakers = page.gauge("apflow_breakers", help);
        for (name, state) in [
            ("open", BreakerState::Open),
            ("half-open", BreakerState::HalfOpen),
            ("closed", BreakerState::Closed),
        ] {
            let count = listed.iter().filter(|breaker| breaker.state == state).count();
            breakers.show(&[("state", name)], count);
        }
        Ok(())
    }
}

fn show_stock(stock: &Stock, now: Timestamp, page: &mut Page) {
    let help = "Tasks that are stored, by state.";
    let mut tasks = page.gauge("apflow_tasks", help);
    for (state, count) in &stock.tasks {
        tasks.show(&[("state", state.name())], count);
    }
    let help = "How long the oldest task has been in its state; a scheduled one since it was due.";
    let mut oldest = page.gauge("apflow_oldest_task_seconds", help);
    for (state, since) in stock.oldest {
        let age = since.map_or(0.0, |since| now.since(since).as_secs_f64());
        oldest.show(&[("state", state.name())], age);
    }
    let waits = |(state, count): &(TaskState, u64)| (*state == TaskState::Parked).then_some(*count);
    let help = "Tasks that wait for somebody's approval.";
    let waiting = stock.tasks.iter().find_map(waits).unwrap_or_default();
    page.gauge("apflow_approvals_waiting", help).show(&[], waiting);
    let plugins = stock.plugins;
    let help = "Installed plugins, by kind.";
    page.gauge("apflow_plugins", help)
        .show(&[("kind", "executor")], plugins.all.saturating_sub(plugins.tools))
        .show(&[("kind", "tool")], plugins.tools);
    let help = "Installed plugins that are not run because hosts ended while they ran.";
    page.gauge("apflow_plugins_quarantined", help).show(&[], plugins.quarantined);
    page.gauge("apflow_database_bytes", "Bytes of the database.").show(&[], stock.bytes);
}

fn show_tools(tools: &[ToolCounts], page: &mut Page) {
    let help = "Runs of a tool since it was installed, on all hosts of the database.";
    let mut runs = page.counter("apflow_tool_runs_total", help);
    for of in tools {
        runs.show(&[("tool", &of.tool), ("end", "success")], of.successes);
        runs.show(&[("tool", &of.tool), ("end", "failure")], of.failures);
    }
    let help = "Looks for a kept result of a tool, on all hosts of the database.";
    let mut looks = page.counter("apflow_tool_cache_total", help);
    for of in tools {
        looks.show(&[("tool", &of.tool), ("found", "hit")], of.cache_hits);
        looks.show(&[("tool", &of.tool), ("found", "miss")], of.cache_misses);
    }
    let help = "Failures of a tool after which another was tried, on all hosts of the database.";
    let mut fallbacks = page.counter("apflow_tool_fallbacks_total", help);
    for of in tools {
        fallbacks.show(&[("tool", &of.tool)], of.fallbacks);
    }
}
