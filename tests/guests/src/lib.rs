//! What the hostile guests share: the contract.
//!
//! A guest is a command with a `main`, or an executor that implements [`Executor`]. It does one bad
//! deed.

pub mod bindings;
mod executor;

pub use bindings::apflow::plugin::types::{Descriptor, Fault, Outcome, Task};
pub use bindings::apflow::plugin::{checkpoint, log, secret};
pub use executor::{Executor, honest, text};
