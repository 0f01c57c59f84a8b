//! Verbs on jobs.

mod cancel;
mod find;
mod list;
mod state;
mod submit;

pub use cancel::CancelJob;
pub use find::FindJob;
pub use list::{JobList, ListJobs};
pub use state::ShowJobState;
pub use submit::SubmitJob;
