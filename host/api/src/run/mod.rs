//! Verbs that run tasks and answer with what became of them.

mod answer;
mod body;
mod parallel;
mod task;

pub use answer::{Ran, RanTask};
pub use parallel::{RanParallel, RunParallel};
pub use task::RunTask;

pub(crate) use body::{one_task, read, several};
