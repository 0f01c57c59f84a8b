//! Writes to its log without an end.

use apflow_guests::{Executor, Fault, Outcome, Task, executor, log};

struct FloodsTheLog;

impl Executor for FloodsTheLog {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        loop {
            log::write(log::Level::Error, "look at me", &[]);
        }
    }
}

executor!(FloodsTheLog);
