//! Verbs on jobs.

mod cancel;
mod cancel_all;
mod delete;
mod find;
mod list;
mod purge;
mod purge_before;
mod state;
mod submit;

pub use cancel::CancelJob;
pub use cancel_all::{CancelAllJobs, CancelledJobs};
pub use delete::{DeleteJob, DeletedJob};
pub use find::FindJob;
pub use list::{JobList, ListJobs};
pub use purge::{PurgeJob, PurgedJob};
pub use purge_before::{PurgeJobs, PurgedJobs};
pub use state::ShowJobState;
pub use submit::SubmitJob;
