//! What the hostile guests share: the contract, and the words in which they report.
//!
//! A guest is a command with a `main`, an executor that implements [`Executor`], or a component in
//! the text format in `src/wat`. It does one bad deed, and judges nothing: the table of
//! `apflow-host selftest` says what must become of it.

pub mod bindings;
pub mod calling;
mod executor;
mod report;

pub use bindings::apflow::plugin::types::{Descriptor, Fault, Outcome, Task};
pub use bindings::apflow::plugin::{budget, checkpoint, control, log, secret};
pub use executor::{Executor, honest, text};
pub use report::{Report, report};
