//! Answers from the host: the imports of the contract as they are, and those of WASI for streams,
//! HTTP and waiting.

pub(crate) mod dial;
mod http;
mod poll;

pub(crate) use self::http::{Body, open};
pub(crate) use self::poll::{sleep, sleep_until_something_is_ready};
pub(crate) use crate::bindings::apflow::plugin::{budget, checkpoint, control, log, secret};
