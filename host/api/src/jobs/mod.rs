//! Verbs on jobs.

mod cancel;
mod cancel_all;
mod events;
mod find;
mod list;
mod retry;
mod submit;
mod watch;

pub use cancel::CancelJob;
pub use cancel_all::{CancelAllJobs, CancelledJobs};
pub use events::{EventList, ListEvents};
pub use find::FindJob;
pub use list::{JobList, ListJobs};
pub use retry::RetryJob;
pub use submit::{SubmitJob, SubmittedJob};
pub use watch::{WatchJob, WatchedJob};
