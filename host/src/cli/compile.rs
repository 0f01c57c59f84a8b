//! `compile-component`: this program as its own compiler, in a process that limits itself.

use std::process::ExitCode;

/// Compiles the component on standard input as the host ordered, before anything else is done.
pub(crate) fn run(order: &str) -> ExitCode {
    apflow_sandbox::compile_child(order)
}
