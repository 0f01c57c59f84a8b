//! Returns JSON so deep that reading it could fill a stack.

use apflow_guests::{Executor, Fault, Outcome, Task, executor};

struct NestsItsOutput;

impl Executor for NestsItsOutput {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let (open, close) = ("[".repeat(1 << 20), "]".repeat(1 << 20));
        Ok(Outcome { output: open + &close, usage: None })
    }
}

executor!(NestsItsOutput);
