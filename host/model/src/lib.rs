//! The words of apflow-host: jobs, tasks, manifests, grants, and the pure rules over them.
//!
//! This floor does no I/O, has no async and reads no clock: time is passed in. Every other floor
//! speaks in its types.

pub mod access;
pub mod approval;
pub mod breaker;
pub mod cache;
pub mod capability;
pub mod clock;
pub mod concurrency;
pub mod consent;
pub mod cron;
pub mod doctor;
mod draft;
pub mod event;
pub mod fair;
pub mod fault;
pub mod file;
mod forest;
pub mod hops;
pub mod id;
pub mod idempotency;
pub mod import;
pub mod job;
pub mod lease;
pub mod likeness;
pub mod limit;
pub mod manifest;
pub mod pace;
pub mod plugin;
mod pointer;
pub mod quarantine;
pub mod reader;
pub mod redrive;
pub mod reference;
pub mod retention;
pub mod retry;
pub mod role;
pub mod schedule;
mod schema;
pub mod secret;
pub mod state;
mod submission;
pub mod tick;
pub mod tool;
pub mod tool_settings;
pub mod usage;
pub mod validate;
mod yaml;
pub mod zone;
