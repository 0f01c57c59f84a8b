//! The host calls it with any input, so it cannot be unsafe.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
unsafe fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
