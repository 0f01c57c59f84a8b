//! A server that works in the background: what it and the command line know of each other.
//!
//! The daemon holds a lock for as long as it lives, and says who it is in the locked file. So a
//! file that a crash left tells nobody that a daemon runs, and neither does a process that was given
//! its number.

mod lock;
mod log;

pub(crate) use lock::{Held, Present, find};
pub(crate) use log::{LOG_FILE, keep_small, open as open_log, tail};
