//! A bare output leaves no room for a fault.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: String) -> String {
    input
}

fn main() {}
