//! Reports progress without an end, and none that is a number.

use apflow_guests::{Executor, Fault, Outcome, Task, executor, log};

struct FloodsProgress;

impl Executor for FloodsProgress {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        loop {
            log::progress(f64::NAN, "nearly there");
        }
    }
}

executor!(FloodsProgress);
