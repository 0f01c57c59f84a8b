//! People choose a plugin by what it says it does.

#[apflow_sdk::executor(id = "my_executor")]
fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
