//! An attempt ends with an output or a fault.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: String) {}

fn main() {}
