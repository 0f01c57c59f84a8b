//! Does not care whether it was cancelled, and goes on asking things of its task.

use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, control, executor, log};

struct GoesOnAfterCancel;

impl Executor for GoesOnAfterCancel {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        loop {
            log::write(log::Level::Info, "still here", &[]);
            drop((control::is_cancelled(), control::deadline(), checkpoint::load()));
        }
    }
}

executor!(GoesOnAfterCancel);
