//! The crate as plugin tests see it: every module, answered by a scripted host.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "the shape of an executor is not its own choice"
)]

mod budget;
mod checkpoint;
mod control;
mod dial;
mod executor;
mod fault;
mod http;
mod log;
mod secret;
mod wait;
