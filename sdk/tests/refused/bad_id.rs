//! An id is also a name in YAML, URLs and shells.

/// Does something.
#[apflow_sdk::executor(id = "My Executor")]
fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
