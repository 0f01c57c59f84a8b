//! A generic function has no one schema.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run<T>(input: T) -> Result<String, apflow_sdk::Fault> {
    Ok(String::new())
}

fn main() {}
