//! The executor owns its input.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: &str) -> Result<String, apflow_sdk::Fault> {
    Ok(input.to_owned())
}

fn main() {}
