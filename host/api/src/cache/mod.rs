//! Verbs on the results of tools that are kept.

mod clear;
mod list;

pub use clear::{ClearCache, Cleared};
pub use list::ListCache;
