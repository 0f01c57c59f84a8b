//! How long to go on: until the task is cancelled or the attempt's time is almost up. What was used
//! by then can be charged.

use std::time::Duration;

use apflow_sdk::wait::{First, race, sleep};
use apflow_sdk::{Fault, control};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is kept of the attempt's time, unless it is very short.
const TIME_KEPT: Duration = Duration::from_secs(1);

/// When an attempt does not go on.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// What is left of the attempt's time then.
    kept: Duration,
}

impl Patience {
    /// Begins now.
    pub fn begin() -> Self {
        Self { kept: TIME_KEPT.min(control::deadline() / 10) }
    }

    /// Waits for `work`, unless the attempt is over before.
    ///
    /// # Errors
    ///
    /// [`Fault::Cancelled`], and [`Fault::Retryable`] when the time is up; the work is dropped then.
    pub async fn unless_over<T>(self, work: impl Future<Output = T>) -> Result<T, Fault> {
        // What is there already is taken first.
        match race(work, self.over()).await {
            First::A(output) => Ok(output),
            First::B(fault) => Err(fault),
        }
    }

    async fn over(self) -> Fault {
        loop {
            if control::is_cancelled() {
                return Fault::Cancelled;
            }
            if control::deadline() <= self.kept {
                return Fault::retryable(
                    "the attempt's time was up before the model had answered; `timeout_seconds` of \
                     the task sets it",
                );
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
