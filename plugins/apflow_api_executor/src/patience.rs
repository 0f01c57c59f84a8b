//! How long to go on: until the task is cancelled, its time is up, or the other host is lost.

use std::time::Duration;

use apflow_sdk::wait::{First, race, sleep};
use apflow_sdk::{control, log};

use crate::remote::RemoteError;

/// How often to look whether the task is cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is kept of the attempt's time to cancel the job, unless the attempt is very short.
const TIME_KEPT: Duration = Duration::from_secs(8);
/// How long the other host may be out of reach before the attempt gives up.
const UNREACHED_MAX: Duration = Duration::from_mins(2);
/// How long to wait before asking a host again that was out of reach, at first and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Why an attempt does not go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Stopped {
    /// Somebody cancelled the task.
    Cancelled,
    /// The time of the job, or of the attempt, is up.
    TimeUp,
    /// The other host refused, or was out of reach for too long.
    Remote(RemoteError),
}

/// When one attempt does not go on.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// What is left of the attempt's time when the time of the job is up.
    left_at_end: Duration,
}

impl Patience {
    /// Begins now, for a job that may take `timeout`.
    pub fn new(timeout: Duration) -> Self {
        let left = control::deadline();
        let kept = TIME_KEPT.min(left / 4);
        Self { left_at_end: left.saturating_sub(timeout).max(kept) }
    }

    /// Asks until there is an answer that counts. A host that was there before may be away for a
    /// while: it may be starting again.
    ///
    /// # Errors
    ///
    /// See [`Stopped`].
    pub async fn ask<T>(
        self,
        question: impl AsyncFn() -> Result<T, RemoteError>,
    ) -> Result<T, Stopped> {
        let (mut pause, mut unreached) = (ASK_AGAIN.0, Duration::ZERO);
        loop {
            let error = match self.unless_over(question()).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.may_pass() || unreached >= UNREACHED_MAX {
                return Err(Stopped::Remote(error));
            }
            if unreached.is_zero() {
                log::warn(format!("the other host is asked again: {error}"));
            }
            self.unless_over(sleep(pause)).await?;
            unreached += pause;
            pause = (pause * 2).min(ASK_AGAIN.1);
        }
    }

    /// Waits for `work`, unless the attempt is over before.
    ///
    /// # Errors
    ///
    /// [`Stopped::Cancelled`] and [`Stopped::TimeUp`]; the work is dropped then.
    pub async fn unless_over<T>(self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        match race(self.over(), work).await {
            First::A(stopped) => Err(stopped),
            First::B(output) => Ok(output),
        }
    }

    async fn over(self) -> Stopped {
        loop {
            if control::is_cancelled() {
                return Stopped::Cancelled;
            }
            if control::deadline() <= self.left_at_end {
                return Stopped::TimeUp;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
