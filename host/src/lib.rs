//! apflow-host: the doors and the assembly.
//!
//! `assemble` and `config` are the only files that know every floor; the doors know the verbs and
//! the words.

mod assemble;
mod cli;
mod config;
mod first_party;
mod http;
mod telemetry;

pub use cli::main;
