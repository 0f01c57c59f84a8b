//! The host needs the schema of the output.

#[derive(serde::Serialize)]
struct Output {
    count: u32,
}

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: String) -> Result<Output, apflow_sdk::Fault> {
    Ok(Output { count: 1 })
}

fn main() {}
