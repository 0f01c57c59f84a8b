//! The attribute goes on a plain function, not on a method.

struct Plugin;

impl Plugin {
    /// Does something.
    #[apflow_sdk::executor(id = "my_executor")]
    fn run(&self, input: String) -> Result<String, apflow_sdk::Fault> {
        Ok(input)
    }
}

fn main() {}
