//! Numbers of model tokens. What may be spent is `budget`'s matter.

use std::fmt;

use crate::bindings::apflow::plugin::types;

/// A number of model tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(pub u64);

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Model tokens that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens sent to the model.
    pub input: Tokens,
    /// Tokens received from it.
    pub output: Tokens,
    /// Of `input`, those that the provider had kept from an earlier call, which cost less.
    pub cached: Tokens,
}

impl Usage {
    /// Counts `input` tokens sent and `output` tokens received.
    pub fn new(input: u64, output: u64) -> Self {
        Self { input: Tokens(input), output: Tokens(output), cached: Tokens(0) }
    }

    /// The same, of which `cached` tokens were sent that the provider had kept.
    #[must_use]
    pub fn with_cached(self, cached: u64) -> Self {
        Self { cached: Tokens(cached), ..self }
    }

    /// Both together.
    pub fn total(self) -> Tokens {
        Tokens(self.input.0.saturating_add(self.output.0))
    }
}

impl From<Usage> for types::TokenUsage {
    fn from(usage: Usage) -> Self {
        Self { input: usage.input.0, output: usage.output.0, cached: usage.cached.0 }
    }
}
