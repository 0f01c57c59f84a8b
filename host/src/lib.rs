//! apflow-host: the doors and the assembly.
//!
//! `assemble` is the only file that knows every floor; the doors know the verbs and the words, and
//! the benchmarks the sandbox that they measure.

mod assemble;
mod cli;
mod config;
mod daemon;
mod first_party;
mod hostile;
mod http;
mod mcp;
mod models;
mod policies;
mod reload;
mod remote;
mod secret;
mod settings;
mod telemetry;
mod webhook;

pub use cli::main;
