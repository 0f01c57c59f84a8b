//! apflow-host from outside: the real program, real HTTP, hostile guests.
//!
//! Each test has a data directory of its own. What the host does inside is tested where it is
//! written.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start the real program, and read and write its files"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; clippy knows tests only by their own functions"
)]

mod callers;
mod echo;
mod guests;
mod host;
mod mail_server;
mod mailbox;
#[path = "../postgres.rs"]
mod postgres;
mod providers;
mod server;
mod serving;
mod stream;
mod working;

mod accepted;
mod answering;
mod audit;
mod author;
mod batches;
mod breakers;
mod broken_folders;
mod budgets;
mod cancelling;
mod code_cache;
mod commands;
mod compiling;
mod concurrency;
mod configuring;
mod consent;
mod cost_policies;
mod crashes;
mod daemons;
mod databases;
mod dial;
mod doctor;
mod doctor_far;
mod door;
mod downloading;
mod draining;
mod egress;
mod email;
mod email_once;
mod federation;
mod files;
mod first_party_tools;
mod forwarding;
mod gateway;
mod gateway_script;
mod helping;
mod hostile;
mod idempotency;
mod jobs;
mod lapsed;
mod limits;
mod listening;
mod llm;
mod llm_broken;
mod load;
mod matrix;
mod mcp;
mod mcp_http;
mod metrics;
mod misconfigured;
mod oidc;
mod openapi;
mod paging;
mod plugins;
mod quickstart;
mod redrive;
mod refused_jobs;
mod refused_plugins;
mod registry;
mod reloading;
mod rest;
mod retention;
mod retries;
mod roles;
mod run;
mod schedules;
mod secrets;
mod smuggling;
mod sockets;
mod sockets_watch;
mod spending;
mod telemetry;
mod terminal;
mod tokens;
mod tool_care;
mod tools;
mod transforming;
mod uploading;
mod usage;
mod validating;
mod verifying;
mod watching;
mod words;
mod workers;
