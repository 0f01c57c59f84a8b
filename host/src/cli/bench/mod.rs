//! `bench`: what things cost on this machine.
//!
//! Rows are measured in turn, round by round, so that a busy moment of the machine meets all alike.

mod cancel;
mod engine;
mod guest;
mod http;
mod http_server;
mod load;
mod neighbours;
mod process;
mod report;
mod rest;
mod samples;
mod sandbox;
mod store;

pub(crate) use cancel::cancel;
pub(crate) use engine::engine;
pub(crate) use http::http;
pub(crate) use load::load;
pub(crate) use neighbours::neighbours;
pub(crate) use rest::rest;
pub(crate) use sandbox::sandbox;
