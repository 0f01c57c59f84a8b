//! Verbs on jobs.

mod cancel;
mod cancel_all;
mod find;
mod list;
mod retry;
mod state;
mod submit;

pub use cancel::CancelJob;
pub use cancel_all::{CancelAllJobs, CancelledJobs};
pub use find::FindJob;
pub use list::{JobList, ListJobs};
pub use retry::RetryJob;
pub use state::ShowJobState;
pub use submit::{SubmitJob, SubmittedJob};
