//! Tasks name the executor by its id.

/// Does something.
#[apflow_sdk::executor(name = "Mine")]
fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
