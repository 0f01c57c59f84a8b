//! Fails with 4 MiB of reasons.

use apflow_guests::{Executor, Fault, Outcome, Task, executor};

struct ReturnsAGiantFault;

impl Executor for ReturnsAGiantFault {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        Err(Fault::Permanent("and another thing ".repeat(1 << 18)))
    }
}

executor!(ReturnsAGiantFault);
