//! The good end of an attempt.

use crate::bindings::apflow::plugin::types;
use crate::budget::Tokens;

/// An output together with what it cost.
///
/// An executor that calls no model returns its output alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<O> {
    /// The task's output.
    pub output: O,
    /// What the attempt used of a model, if it called one.
    pub usage: Option<Usage>,
}

impl<O> Outcome<O> {
    /// Wraps an output that used no model.
    pub fn new(output: O) -> Self {
        Self { output, usage: None }
    }

    /// Says what the attempt used of a model.
    #[must_use]
    pub fn with_usage(self, usage: Usage) -> Self {
        Self { usage: Some(usage), ..self }
    }
}

/// Model tokens that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens sent to the model.
    pub input: Tokens,
    /// Tokens received from it.
    pub output: Tokens,
}

impl Usage {
    /// Counts `input` tokens sent and `output` tokens received.
    pub fn new(input: u64, output: u64) -> Self {
        Self { input: Tokens(input), output: Tokens(output) }
    }

    /// Both together.
    pub fn total(self) -> Tokens {
        Tokens(self.input.0.saturating_add(self.output.0))
    }
}

impl From<Usage> for types::TokenUsage {
    fn from(usage: Usage) -> Self {
        Self { input: usage.input.0, output: usage.output.0 }
    }
}
