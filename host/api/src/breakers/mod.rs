//! Verbs on circuit breakers.

mod list;
mod reset;
mod reset_all;

pub use list::{BreakerList, ListBreakers};
pub use reset::{ResetBreaker, ResetOne};
pub use reset_all::{ResetAll, ResetBreakers};
