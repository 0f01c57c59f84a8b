//! The task comes first.

use apflow_sdk::Task;

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: String, task: Task) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
