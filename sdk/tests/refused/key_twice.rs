//! Which of the two would count?

/// Does something.
#[apflow_sdk::executor(id = "one", id = "two")]
fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
