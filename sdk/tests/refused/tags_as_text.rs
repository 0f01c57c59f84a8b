//! Tags are a list.

/// Does something.
#[apflow_sdk::executor(id = "my_executor", tags = "http")]
fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
