//! The host needs the schema of the input.

#[derive(serde::Deserialize)]
struct Input {
    count: u32,
}

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: Input) -> Result<u32, apflow_sdk::Fault> {
    Ok(input.count)
}

fn main() {}
