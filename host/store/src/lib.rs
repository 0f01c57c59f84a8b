//! The database of apflow-host: all SQL, and nothing else.
//!
//! It decides nothing that `apflow-model` can decide, reads no clock (every moment is passed in)
//! and wakes nobody: each write returns what became ready, and the engine wakes.

mod store;

mod jobs;

mod tasks;

mod attempts;
mod cancel;
mod settle;

mod dependents;

mod checkpoints;
mod events;
mod files;

mod sessions;

mod plugins;

mod commit;
mod link;
mod write;
mod writer;

mod address;
mod connect;
mod connection;
mod dialect;
mod error;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
mod row;
mod schema;

pub use crate::address::{Address, AddressError, Server};
pub use crate::attempts::{End, Settled, Settlement};
pub use crate::cancel::Cancelled;
pub use crate::checkpoints::{CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX, Checkpoint};
pub use crate::error::StoreError;
pub use crate::events::{EVENTS_PER_PAGE_MAX, NewEvent};
pub use crate::files::{FILES_PER_PAGE_MAX, FilePage, NewTaskFile, NewUpload};
pub use crate::jobs::{JOBS_PER_PAGE_MAX, JobFilter, JobPage, NewJob};
pub use crate::sessions::{HOST_LOSSES_MAX, Recovered, SessionId};
pub use crate::store::Store;
pub use crate::tasks::{Claimed, PROMOTED_PER_CLAIM_MAX};
