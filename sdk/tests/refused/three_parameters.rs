//! A task and an input are all there is.

use apflow_sdk::Task;

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(task: Task, input: String, more: u32) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
