//! How many tokens a call used: as the provider says, or where that cannot be, by a count of ours.
//!
//! The count is an estimate from the number of bytes: three to a token, which is more tokens than
//! most texts have, and four for each message around its text.

use apflow_sdk::{JsonSchema, Usage, schemars};
use serde::{Deserialize, Serialize};

/// How many bytes of a text count as one token.
const BYTES_PER_TOKEN: u64 = 3;
/// What a message counts beside its text.
const TOKENS_PER_PART: u64 = 4;
/// No vocabulary has tokens that are longer in the middle of ordinary texts.
const BYTES_PER_TOKEN_MAX: u64 = 32;
/// What a provider may add by itself, such as what it tells a model of tools.
const INPUT_TOKENS_ADDED_MAX: u64 = 4_096;

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many messages and tools.
    pub parts: u64,
    /// How many bytes their texts have.
    pub bytes: u64,
}

impl Size {
    /// How many tokens this counts as.
    pub fn tokens(self) -> u64 {
        count(self.bytes) + self.parts * TOKENS_PER_PART
    }
}

/// What a provider says of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reported {
    /// Tokens sent, with those from its cache.
    pub input: Option<u64>,
    /// Tokens received.
    pub output: Option<u64>,
    /// Of those sent, how many it had in its cache.
    pub cached: Option<u64>,
}

/// The tokens that calls used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// How often a model was asked.
    pub calls: u32,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Of those sent, how many the provider had in its cache.
    pub cached_tokens: u64,
    /// Whether some of it was counted here, because the provider did not say it, or said what cannot
    /// be.
    pub is_counted: bool,
}

impl Used {
    /// What one call used, that sent so much and received so many bytes, of `output_max` tokens at
    /// most.
    pub fn of(reported: Reported, sent: Size, received_bytes: u64, output_max: u64) -> Self {
        let input_max = sent.bytes + sent.parts * TOKENS_PER_PART + INPUT_TOKENS_ADDED_MAX;
        let input = plausible(reported.input, sent.bytes, input_max);
        let output = plausible(reported.output, received_bytes, output_max);
        let input_tokens = input.unwrap_or(sent.tokens());
        Self {
            calls: 1,
            input_tokens,
            output_tokens: output.unwrap_or(count(received_bytes).min(output_max)),
            cached_tokens: input.and(reported.cached).unwrap_or(0).min(input_tokens),
            is_counted: input.is_none() || output.is_none(),
        }
    }

    /// The same, as the host is told.
    pub fn told(self) -> Usage {
        Usage::new(self.input_tokens, self.output_tokens).with_cached(self.cached_tokens)
    }

    /// All of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            is_counted: self.is_counted || other.is_counted,
        }
    }
}

/// The most bytes that an answer of so many tokens can have. A server that sends more does not keep
/// to what it was asked.
pub fn bytes_max(output_max: u64) -> u64 {
    output_max.saturating_mul(BYTES_PER_TOKEN_MAX).saturating_add(64 << 10)
}

/// How many tokens so many bytes of a text count as.
pub fn count(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// A number that can be the tokens of so many bytes, and is not over `most`.
fn plausible(reported: Option<u64>, bytes: u64, most: u64) -> Option<u64> {
    reported.filter(|tokens| *tokens <= most && tokens.saturating_mul(BYTES_PER_TOKEN_MAX) >= bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Size = Size { parts: 2, bytes: 300 };

    fn used(input: u64, output: u64, cached: u64) -> Used {
        let reported = Reported { input: Some(input), output: Some(output), cached: Some(cached) };
        Used::of(reported, SENT, 90, 50)
    }

    #[test]
    fn what_a_provider_says_is_taken_where_it_can_be() {
        let said = used(80, 25, 60);
        let numbers = (said.input_tokens, said.output_tokens, said.cached_tokens);
        assert_eq!((numbers, said.is_counted, said.calls), ((80, 25, 60), false, 1));
        assert_eq!(used(80, 25, 100).cached_tokens, 80, "no more than was sent");
        // Thinking that is not shown is charged as well.
        assert!(!used(80, 50, 0).is_counted);
    }

    #[test]
    fn what_is_missing_or_cannot_be_is_counted() {
        let counted = Used::of(Reported::default(), SENT, 90, 50);
        let numbers = (counted.input_tokens, counted.output_tokens, counted.is_counted);
        assert_eq!(numbers, (108, 30, true));
        for (input, output) in [(0, 25), (9, 25), (1 << 40, 25)] {
            let said = used(input, output, 5);
            assert_eq!((said.input_tokens, said.output_tokens), (108, 25), "{input}");
            assert_eq!((said.cached_tokens, said.is_counted), (0, true));
        }
        for output in [0, 2, 51, u64::MAX] {
            let said = used(80, output, 0);
            assert_eq!((said.input_tokens, said.output_tokens), (80, 30), "{output}");
        }
        // Of what was asked for, no more is charged.
        assert_eq!(Used::of(Reported::default(), SENT, 9_000, 50).output_tokens, 50);
    }

    #[test]
    fn an_answer_of_nothing_may_have_no_tokens() {
        let reported = Reported { input: Some(80), output: Some(0), cached: None };
        assert!(!Used::of(reported, SENT, 0, 50).is_counted);
    }
}
