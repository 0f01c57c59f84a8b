//! Passes 32 MiB in one call.

use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, executor, text};

struct PassesGiantArguments;

impl Executor for PassesGiantArguments {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let saved = checkpoint::save(&"step".repeat(8 << 20), b"");
        Ok(text(&format!("done: {saved:?}")))
    }
}

executor!(PassesGiantArguments);
