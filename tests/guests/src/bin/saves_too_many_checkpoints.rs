//! Saves checkpoints until there may be no more.

use apflow_guests::{Executor, Fault, Outcome, Report, Task, checkpoint, executor, text};

struct SavesTooManyCheckpoints;

impl Executor for SavesTooManyCheckpoints {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let mut report = Report::default();
        for count in 0_u32.. {
            if let Err(error) = checkpoint::save("step", &count.to_le_bytes()) {
                report.note::<(), _>(&format!("checkpoint {count}"), Err(error));
                break;
            }
        }
        Ok(text(report.lines()))
    }
}

executor!(SavesTooManyCheckpoints);
