//! A small HTTP client. Requests leave through the host, which lets through what was granted.
//!
//! Redirects are not followed: their target may need another grant, so the plugin decides. A body of
//! an answer is held in memory, or read piece by piece after [`Request::open`]; there is no cookie
//! jar and no cache.
//!
//! Several requests overlap when their futures are awaited together, for example by
//! [`wait::join_all`](crate::wait::join_all).

mod incoming;
mod request;

pub use crate::exchange::{Error, Response};
pub use incoming::Incoming;
pub use request::{BODY_BYTES_MAX_DEFAULT, Request, TIMEOUT_DEFAULT};
