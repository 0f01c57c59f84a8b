//! There is always an input.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run() -> Result<String, apflow_sdk::Fault> {
    Ok(String::new())
}

fn main() {}
