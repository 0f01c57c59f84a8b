//! Saves checkpoints that are too large, by their value and by their name.

use apflow_guests::{Executor, Fault, Outcome, Report, Task, checkpoint, executor, text};

struct SavesGiantCheckpoints;

impl Executor for SavesGiantCheckpoints {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let mut report = Report::default();
        let large = vec![b'x'; (1 << 20) + 1];
        report.note("a large value", checkpoint::save("step", &large));
        report.note("a large step", checkpoint::save(&"x".repeat((1 << 20) + 1), b""));
        report.note("both together", checkpoint::save(&"x".repeat(1 << 19), &large[..1 << 20]));
        Ok(text(report.lines()))
    }
}

executor!(SavesGiantCheckpoints);
