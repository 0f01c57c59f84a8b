//! The words of apflow-host: jobs, tasks, manifests, grants, and the pure rules over them.
//!
//! This floor does no I/O, has no async and reads no clock: time is passed in. Every other floor
//! speaks in its types.

pub mod access;
pub mod capability;
pub mod clock;
pub mod consent;
mod draft;
pub mod event;
pub mod fault;
pub mod file;
mod forest;
pub mod id;
pub mod job;
pub mod limit;
pub mod manifest;
pub mod plugin;
mod pointer;
pub mod reader;
pub mod reference;
pub mod retry;
pub mod secret;
pub mod state;
mod submission;
pub mod tool;
pub mod usage;
pub mod validate;
mod yaml;
