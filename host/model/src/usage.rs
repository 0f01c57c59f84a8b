//! What an attempt used: the receipt that comes back with every task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::{TokenUse, Tokens};

/// What one attempt, or all attempts of a task together, used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Time from instantiation to tear-down, in microseconds.
    pub wall_us: u64,
    /// Time that a processor worked for the guest, in microseconds; of its first 2 ms, the time
    /// that went by.
    pub cpu_us: u64,
    /// The most linear memory the guest held at once, in bytes.
    pub memory_bytes_peak: u64,
    /// Fuel burnt, in wasmtime's units. Zero when the plugin sets no fuel limit.
    pub fuel: u64,
    /// Bytes of input handed to the guest.
    pub input_bytes: u64,
    /// Bytes of output it returned.
    pub output_bytes: u64,
    /// Bytes it wrote to the log.
    pub log_bytes: u64,
    /// HTTP requests it sent.
    pub http_requests: u64,
    /// Bytes of HTTP bodies it sent and received.
    pub http_body_bytes: u64,
    /// TCP connections it opened.
    pub connections: u64,
    /// Bytes through its TCP connections, both ways.
    pub tcp_bytes: u64,
    /// The most that its files in `/out` and `/scratch` held at once, in bytes.
    pub file_bytes_peak: u64,
    /// Model tokens sent.
    pub tokens_input: u64,
    /// Model tokens received.
    pub tokens_output: u64,
    /// Of the tokens sent, those that a provider had kept from an earlier call.
    pub tokens_cached: u64,
    /// What the calls of models cost, in millionths of a US dollar, as far as their prices are known.
    pub micro_usd: u64,
    /// How many calls of models had no known price, and so are not in `micro_usd`.
    pub calls_unpriced: u64,
}

impl Usage {
    /// The tokens of its calls of models.
    pub const fn tokens(&self) -> TokenUse {
        TokenUse {
            input: Tokens(self.tokens_input),
            output: Tokens(self.tokens_output),
            cached: Tokens(self.tokens_cached),
        }
    }

    /// The receipt of two attempts together: sums, but the larger peaks.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            wall_us: self.wall_us.saturating_add(other.wall_us),
            cpu_us: self.cpu_us.saturating_add(other.cpu_us),
            memory_bytes_peak: self.memory_bytes_peak.max(other.memory_bytes_peak),
            fuel: self.fuel.saturating_add(other.fuel),
            input_bytes: self.input_bytes.saturating_add(other.input_bytes),
            output_bytes: self.output_bytes.saturating_add(other.output_bytes),
            log_bytes: self.log_bytes.saturating_add(other.log_bytes),
            http_requests: self.http_requests.saturating_add(other.http_requests),
            http_body_bytes: self.http_body_bytes.saturating_add(other.http_body_bytes),
            connections: self.connections.saturating_add(other.connections),
            tcp_bytes: self.tcp_bytes.saturating_add(other.tcp_bytes),
            file_bytes_peak: self.file_bytes_peak.max(other.file_bytes_peak),
            tokens_input: self.tokens_input.saturating_add(other.tokens_input),
            tokens_output: self.tokens_output.saturating_add(other.tokens_output),
            tokens_cached: self.tokens_cached.saturating_add(other.tokens_cached),
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
            calls_unpriced: self.calls_unpriced.saturating_add(other.calls_unpriced),
        }
    }
}

/// The calls of one model, by what was asked for and what was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelUse {
    /// The model that was asked for.
    #[schemars(example = &"anthropic/claude-sonnet-4-5")]
    pub wanted: Option<String>,
    /// The model that was called: another one when a cost policy said so.
    #[schemars(example = &"anthropic/claude-haiku-4-5")]
    pub model: Option<String>,
    /// How many calls there were.
    pub calls: u64,
    /// Model tokens sent.
    pub tokens_input: u64,
    /// Model tokens received.
    pub tokens_output: u64,
    /// Of the tokens sent, those that the provider had kept from an earlier call.
    pub tokens_cached: u64,
    /// What they cost, in millionths of a US dollar. None when the price of one is not known.
    pub micro_usd: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_add_up_but_keep_the_larger_peak() {
        let first = Usage { wall_us: 5, memory_bytes_peak: 100, ..Usage::default() };
        let second = Usage { wall_us: 7, memory_bytes_peak: 60, ..Usage::default() };
        let both = first.and(second);
        assert_eq!((both.wall_us, both.memory_bytes_peak), (12, 100));
    }
}
