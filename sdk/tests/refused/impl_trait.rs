//! `impl Trait` is a generic parameter as well.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
fn run(input: impl ToString) -> Result<String, apflow_sdk::Fault> {
    Ok(input.to_string())
}

fn main() {}
