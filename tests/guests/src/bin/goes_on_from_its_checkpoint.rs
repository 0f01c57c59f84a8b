//! Saves how far it came and fails, and completes when it finds that.

use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, executor, text};

struct GoesOnFromItsCheckpoint;

impl Executor for GoesOnFromItsCheckpoint {
    fn execute(task: Task, _: String) -> Result<Outcome, Fault> {
        let saved = checkpoint::load().map_err(|error| Fault::Permanent(format!("{error:?}")))?;
        let Some(saved) = saved else {
            let half = checkpoint::save("half", b"half");
            half.map_err(|error| Fault::Permanent(format!("{error:?}")))?;
            return Err(Fault::Permanent("only half was done".to_owned()));
        };
        let Task { attempt, .. } = task;
        let (step, before) = (saved.step, saved.attempt);
        Ok(text(&format!("attempt {attempt} went on from {step} of attempt {before}")))
    }
}

executor!(GoesOnFromItsCheckpoint);
