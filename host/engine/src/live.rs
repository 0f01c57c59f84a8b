//! The settings that are taken anew while the engine works.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::concurrency::Concurrency;
use apflow_model::idempotency::IdempotencyHours;
use apflow_model::quarantine::QuarantineRule;
use apflow_model::retention::Retention;

/// The settings that are taken anew while the engine works.
#[derive(Debug, Clone)]
pub struct Live {
    /// How many tasks may run at once, on all hosts of the database together.
    pub concurrency: Arc<Concurrency>,
    /// How long an idempotency key stands for its job.
    pub idempotency: Duration,
    /// When a component is not run any more because hosts ended while it ran.
    pub quarantine: QuarantineRule,
    /// How long what is over is kept.
    pub retention: Retention,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            concurrency: Arc::default(),
            idempotency: IdempotencyHours::default().duration(),
            quarantine: QuarantineRule::default(),
            retention: Retention::default(),
        }
    }
}
