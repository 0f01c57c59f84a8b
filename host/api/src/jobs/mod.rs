//! Verbs on jobs.

mod find;
mod list;
mod submit;

pub use find::FindJob;
pub use list::{JobList, ListJobs};
pub use submit::SubmitJob;
