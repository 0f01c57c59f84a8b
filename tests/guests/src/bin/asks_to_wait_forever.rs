//! Fails, and asks to be tried again after the end of time.

use apflow_guests::bindings::apflow::plugin::types::RetryableFault;
use apflow_guests::{Executor, Fault, Outcome, Task, executor};

struct AsksToWaitForever;

impl Executor for AsksToWaitForever {
    fn execute(_: Task, _: String) -> Result<Outcome, Fault> {
        let message = "not now".to_owned();
        Err(Fault::Retryable(RetryableFault { message, retry_after: Some(u64::MAX) }))
    }
}

executor!(AsksToWaitForever);
