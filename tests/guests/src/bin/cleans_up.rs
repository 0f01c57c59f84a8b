//! Works until somebody cancels it, then saves a checkpoint and ends as its input says.

use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, control, executor, log, text};

struct CleansUp;

impl Executor for CleansUp {
    fn execute(_: Task, input: String) -> Result<Outcome, Fault> {
        log::write(log::Level::Info, "working", &[]);
        while !control::is_cancelled() {}
        log::write(log::Level::Info, "cleaning up", &[]);
        if let Err(error) = checkpoint::save("cleaned", b"up") {
            return Err(Fault::Permanent(format!("{error:?}")));
        }
        if input.contains("completes") { Ok(text("cleaned up")) } else { Err(Fault::Cancelled) }
    }
}

executor!(CleansUp);
