//! Model tokens and money.
//!
//! It knows no price: `price` does.

use std::fmt;
use std::iter::Sum;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most tokens that one call of a model is charged for. No model takes as many: whoever says
/// more is charged for this much.
pub const TOKENS_PER_CALL_MAX: u64 = 1_000_000_000_000;

/// A number of model tokens.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Tokens(pub u64);

/// An amount of money, in millionths of a US dollar.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

macro_rules! amount {
    ($name:ident) => {
        impl $name {
            /// Both together. None when there is no such number.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// What is left of it without `other`. None when that is more.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(left) => Some(Self(left)),
                    None => None,
                }
            }

            /// Both together, the largest there is at most.
            #[must_use]
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// What is left of it without `other`, none at least.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self(0), Self::saturating_add)
            }
        }
    };
}

amount!(Tokens);
amount!(MicroUsd);

impl fmt::Display for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// In dollars, to the last millionth: `0.001500 USD`.
impl fmt::Display for MicroUsd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:06} USD", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The tokens of one call of a model, or of several together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TokenUse {
    /// Sent to the model.
    pub input: Tokens,
    /// Received from it.
    pub output: Tokens,
    /// Of `input`, those that the provider had kept from an earlier call, which cost less.
    #[serde(default)]
    pub cached: Tokens,
}

impl TokenUse {
    /// The tokens that a budget counts: sent and received.
    pub const fn total(self) -> Tokens {
        self.input.saturating_add(self.output)
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached: self.cached.saturating_add(other.cached),
        }
    }

    /// Of each, the larger number.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cached: self.cached.max(other.cached),
        }
    }

    /// Of each, what it has more than `other`.
    #[must_use]
    pub const fn beyond(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_sub(other.input),
            output: self.output.saturating_sub(other.output),
            cached: self.cached.saturating_sub(other.cached),
        }
    }

    /// What a call is charged for that said this: at most [`TOKENS_PER_CALL_MAX`] of each, and no
    /// more tokens kept than sent.
    #[must_use]
    pub fn of_one_call(self) -> Self {
        let within = |tokens: Tokens| Tokens(tokens.0.min(TOKENS_PER_CALL_MAX));
        let input = within(self.input);
        Self { input, output: within(self.output), cached: self.cached.min(input) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_to_the_last_millionth() {
        assert_eq!(MicroUsd(1_500).to_string(), "0.001500 USD");
        assert_eq!(MicroUsd(12_000_001).to_string(), "12.000001 USD");
    }

    #[test]
    fn sums_stay_within_what_there_is() {
        assert_eq!(Tokens(u64::MAX).checked_add(Tokens(1)), None);
        assert_eq!(Tokens(1).checked_sub(Tokens(2)), None);
        assert_eq!([Tokens(u64::MAX), Tokens(1)].into_iter().sum::<Tokens>(), Tokens(u64::MAX));
        assert_eq!(MicroUsd(1).saturating_sub(MicroUsd(2)), MicroUsd(0));
    }

    #[test]
    fn a_call_is_charged_for_what_a_call_can_be() {
        let said = TokenUse { input: Tokens(5), output: Tokens(u64::MAX), cached: Tokens(9) };
        let charged = said.of_one_call();
        assert_eq!(charged.output, Tokens(TOKENS_PER_CALL_MAX));
        assert_eq!((charged.cached, charged.total()), (Tokens(5), Tokens(TOKENS_PER_CALL_MAX + 5)));
    }
}
