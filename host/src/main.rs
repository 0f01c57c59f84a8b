//! The `apflow-host` binary.
fn main() {}
