//! The attribute goes on a function, not on a type.

/// Does something.
#[apflow_sdk::executor(id = "my_executor")]
struct Plugin;

fn main() {}
