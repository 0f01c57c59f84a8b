//! What the sandbox counts while it works.

use std::time::Duration;

use apflow_model::limit::Breach;
use apflow_model::metric::{ByName, Counter, Gauge, Histogram, Page};

/// The most limits that are told apart. There are fewer.
const LIMITS_MAX: usize = 32;

/// What was counted since the sandbox was made.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// The attempts that run.
    pub(crate) running: Gauge,
    start: Histogram,
    limits: ByName<Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            running: Gauge::default(),
            start: Histogram::of_times(),
            limits: ByName::new(LIMITS_MAX),
        }
    }
}

impl Metrics {
    /// Counts an attempt whose guest is entered so long after its store was made.
    pub(crate) fn entered(&self, after: Duration) {
        self.start.took(after);
    }

    /// Counts an attempt that ends because it met a limit.
    pub(crate) fn ended_by(&self, breach: &Breach) {
        self.limits.of(breach.limit()).count();
    }

    /// Shows it.
    pub(crate) fn show(&self, page: &mut Page) {
        let help = "Instances that are alive in the sandbox.";
        page.gauge("apflow_sandbox_instances", help).show(&[], self.running.get());
        let help = "Time from making the store of an attempt until its guest is entered.";
        page.histogram("apflow_sandbox_start_seconds", help).show_all(&[], &self.start);
        let help = "Attempts that ended because they met a limit, by its key in plugin.yaml.";
        let limits = page.counter("apflow_sandbox_limits_hit_total", help);
        for (limit, count) in self.limits.all() {
            limits.show(&[("limit", &limit)], count.get());
        }
    }
}
