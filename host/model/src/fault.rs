//! Why a task did not end well, as a caller reads it.
//!
//! It does not decide about retries: [`crate::retry`] does, from the code alone.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest message of a fault, in bytes: 16 KiB. What is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The kind of a fault. Stable: it is never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultCode {
    /// The input does not suit the executor.
    InvalidInput,
    /// The world was in the way; another try may work.
    Retryable,
    /// It will never work.
    Permanent,
    /// Somebody cancelled it, or the executor says so itself.
    Cancelled,
    /// The task's budget is used up.
    BudgetExhausted,
    /// The executor asked for something that was not granted.
    CapabilityDenied,
    /// The attempt went over one of its limits.
    LimitExceeded,
    /// The guest crashed, for example by a panic.
    Trapped,
    /// A `$from` pointer finds nothing in the dependency's output.
    ReferenceUnresolved,
    /// A dependency that the task requires did not complete.
    DependencyLost,
    /// A destination that keeps failing is left alone for a while.
    BreakerOpen,
    /// The host ended while the attempt was running.
    HostLost,
    /// The plugin is no longer installed, or cannot be loaded.
    PluginUnavailable,
    /// The task had not ended when its deadline passed.
    DeadlineExceeded,
    /// Hosts ended while the plugin ran, so it is not run until an operator says so.
    PluginQuarantined,
    /// Somebody who was asked to approve it said no.
    Denied,
}

impl FaultCode {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::InvalidInput,
        Self::Retryable,
        Self::Permanent,
        Self::Cancelled,
        Self::BudgetExhausted,
        Self::CapabilityDenied,
        Self::LimitExceeded,
        Self::Trapped,
        Self::ReferenceUnresolved,
        Self::DependencyLost,
        Self::BreakerOpen,
        Self::HostLost,
        Self::PluginUnavailable,
        Self::DeadlineExceeded,
        Self::PluginQuarantined,
        Self::Denied,
    ];

    /// Whether another attempt may end better.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Retryable | Self::Trapped | Self::BreakerOpen | Self::HostLost => true,
            Self::InvalidInput
            | Self::Permanent
            | Self::Cancelled
            | Self::BudgetExhausted
            | Self::CapabilityDenied
            | Self::LimitExceeded
            | Self::ReferenceUnresolved
            | Self::DependencyLost
            | Self::PluginUnavailable
            | Self::PluginQuarantined
            | Self::Denied
            | Self::DeadlineExceeded => false,
        }
    }

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid-input",
            Self::Retryable => "retryable",
            Self::Permanent => "permanent",
            Self::Cancelled => "cancelled",
            Self::BudgetExhausted => "budget-exhausted",
            Self::CapabilityDenied => "capability-denied",
            Self::LimitExceeded => "limit-exceeded",
            Self::Trapped => "trapped",
            Self::ReferenceUnresolved => "reference-unresolved",
            Self::DependencyLost => "dependency-lost",
            Self::BreakerOpen => "breaker-open",
            Self::HostLost => "host-lost",
            Self::PluginUnavailable => "plugin-unavailable",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::PluginQuarantined => "plugin-quarantined",
            Self::Denied => "denied",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Why an attempt, or a task, did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// What kind of fault it is.
    pub code: FaultCode,
    /// What went wrong and, where it is known, what to do about it. At most
    /// [`MESSAGE_BYTES_MAX`], since only [`Fault::new`] sets it.
    #[schemars(example = &"the server answered 503")]
    pub message: String,
    /// The least time to wait before another attempt, in milliseconds, as the executor said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What the command ended with, when it is a command's and that was not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl Fault {
    /// A fault without a time to wait.
    ///
    /// A message over [`MESSAGE_BYTES_MAX`] is cut between two characters, and ends with `…` then:
    /// it may come from a guest, and is stored and shown many times.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: cut(message.into()), retry_after_ms: None, exit_code: None }
    }
}

fn cut(mut message: String) -> String {
    const MARK: char = '…';
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX - MARK.len_utf8()));
        message.push(MARK);
    }
    message
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        for character in ["a", "é", "€", "🦀"] {
            let fault = Fault::new(FaultCode::Permanent, character.repeat(MESSAGE_BYTES_MAX + 1));
            let kept = fault.message.strip_suffix('…').unwrap();
            assert!(kept.len() > MESSAGE_BYTES_MAX - 8, "{}", kept.len());
            assert!(fault.message.len() <= MESSAGE_BYTES_MAX, "{}", fault.message.len());
            assert_eq!(kept.replace(character, ""), "");
        }
    }

    #[test]
    fn a_message_that_fits_is_kept() {
        let message = "a".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(Fault::new(FaultCode::Permanent, message.clone()).message, message);
    }
}
