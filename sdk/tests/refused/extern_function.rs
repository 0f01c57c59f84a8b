//! The attribute writes the exports.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
extern "C" fn run(input: String) -> Result<String, apflow_sdk::Fault> {
    Ok(input)
}

fn main() {}
