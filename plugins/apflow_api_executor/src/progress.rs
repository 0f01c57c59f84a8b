//! What an attempt leaves for the next one: which job is its own, and what of it was charged.

use apflow_sdk::budget::{self, Tokens};
use apflow_sdk::{Fault, Usage, checkpoint};
use serde::{Deserialize, Serialize};

use crate::ended;
use crate::remote::Job;

/// The step of a job that goes on.
const SUBMITTED: &str = "submitted";
/// The step of a job that did not end well: a redrive of this task redrives it.
const ENDED: &str = "ended";

/// What an attempt leaves for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The id of the job on the other host.
    pub job_id: String,
    tokens_input: u64,
    tokens_output: u64,
}

/// Where an attempt begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Nothing was submitted, as far as this host knows.
    Fresh,
    /// The job goes on, or has ended since.
    Submitted(Progress),
    /// The job did not end well, and this task runs again.
    Ended(Progress),
}

impl Start {
    /// Looks at what an earlier attempt left.
    ///
    /// # Errors
    ///
    /// A fault when it cannot be loaded or read.
    pub fn load() -> Result<Self, Fault> {
        let Some(saved) = checkpoint::load_saved()? else { return Ok(Self::Fresh) };
        let progress = serde_json::from_slice(&saved.value)?;
        Ok(if saved.step == ENDED { Self::Ended(progress) } else { Self::Submitted(progress) })
    }
}

impl Progress {
    /// Begins with a job of which nothing was charged.
    pub fn new(job_id: String) -> Self {
        Self { job_id, tokens_input: 0, tokens_output: 0 }
    }

    /// Keeps that the job goes on.
    ///
    /// # Errors
    ///
    /// A fault when it is not stored.
    pub fn save_submitted(&self) -> Result<(), Fault> {
        Ok(checkpoint::save(SUBMITTED, self)?)
    }

    /// Keeps that the job did not end well.
    ///
    /// # Errors
    ///
    /// A fault when it is not stored.
    pub fn save_ended(&self) -> Result<(), Fault> {
        Ok(checkpoint::save(ENDED, self)?)
    }

    /// Charges this task what the job used since the last time.
    ///
    /// # Errors
    ///
    /// A fault when the host has no budget to charge to.
    pub fn charge(&mut self, job: &Job) -> Result<(), Fault> {
        let Usage { input: Tokens(input), output: Tokens(output), .. } = ended::usage(job);
        let new = Usage::new(
            input.saturating_sub(self.tokens_input),
            output.saturating_sub(self.tokens_output),
        );
        (self.tokens_input, self.tokens_output) = (input, output);
        if new != Usage::default() {
            budget::reserve(Tokens(0))?.commit(new);
        }
        Ok(())
    }
}
