//! Verbs on jobs.

mod cancel;
mod cancel_all;
mod delete;
mod events;
mod find;
mod list;
mod purge;
mod purge_before;
mod retry;
mod submit;
mod watch;

pub use cancel::CancelJob;
pub use cancel_all::{CancelAllJobs, CancelledJobs};
pub use delete::{DeleteJob, DeletedJob};
pub use events::{EventList, ListEvents};
pub use find::FindJob;
pub use list::{JobList, ListJobs};
pub use purge::{PurgeJob, PurgedJob};
pub use purge_before::{PurgeJobs, PurgedJobs};
pub use retry::RetryJob;
pub(crate) use submit::headers;
pub use submit::{SubmitJob, SubmittedJob};
pub use watch::{WatchJob, WatchedJob};
