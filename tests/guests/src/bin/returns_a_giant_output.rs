//! Returns more than anybody may keep.

use apflow_guests::{Executor, Fault, Outcome, Task, executor, text};

struct ReturnsAGiantOutput;

impl Executor for ReturnsAGiantOutput {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        Ok(text(&"much ".repeat(1 << 20)))
    }
}

executor!(ReturnsAGiantOutput);
