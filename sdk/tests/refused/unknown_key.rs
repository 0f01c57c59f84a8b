//! A mistyped key is answered with the one that was meant.

/// Does something.
#[apflow_sdk::executor(id = "my_executor", tag = ["http"])]
fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
