//! Tells whoever listens what happens, as it happens.
//!
//! What is told here may be missed; what is stored is the truth. So a listener that was too slow
//! looks it up.

use apflow_model::event::Happening;
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::JobState;
use tokio::sync::broadcast;

/// How many happenings a slow listener may lag behind before it misses some.
const WAITING_MAX: usize = 1_024;

/// Something that just happened.
#[derive(Debug, Clone)]
pub enum Live {
    /// Something happened to a task.
    Task {
        /// Its job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt, zero when it belongs to none.
        attempt: u32,
        /// What happened.
        what: Happening,
    },
    /// The last task of a job ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// How.
        state: JobState,
    },
}

/// Hands happenings on to all listeners.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Live>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(WAITING_MAX) }
    }

    pub(crate) fn tell(&self, live: Live) {
        // An error only says that nobody listens.
        drop(self.sender.send(live));
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Live> {
        self.sender.subscribe()
    }
}
