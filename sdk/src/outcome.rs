//! The good end of an attempt.

use crate::tokens::Usage;

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
