//! Verbs on tasks.

mod cancel;
mod checkpoints;
mod find;
mod list;
mod retry;

pub use cancel::CancelTask;
pub use checkpoints::{CheckpointList, ListCheckpoints, ShownCheckpoint};
pub use find::FindTask;
pub use list::{ListTasks, StateFilter, TaskList};
pub use retry::RetryTask;
