//! What this task may still spend on models.
//!
//! A budget is a hard cap: tokens are reserved before a model is called and settled afterwards, so
//! two calls that run at once can never both spend the last token. Prices are the host's matter, and
//! so is the model: a cost policy may name a cheaper one than was asked for.
//!
//! ```
//! use apflow_sdk::budget::{self, ModelCall, Tokens};
//! use apflow_sdk::{Usage, testing::Host};
//!
//! # fn main() -> Result<(), apflow_sdk::Fault> {
//! let host = Host::new().budget(1000);
//! host.within(|| {
//!     let call = ModelCall { model: "ollama/llama3", input: Tokens(100), output: Tokens(500) };
//!     let reservation = budget::reserve_call(call)?;
//!     assert_eq!(reservation.model().as_deref(), Some("ollama/llama3"));
//!     reservation.commit(Usage::new(100, 50));
//!     assert_eq!(budget::remaining(), Some(Tokens(850)));
//!     Ok(())
//! })
//! # }
//! ```

use std::fmt;

use crate::backend;
pub use crate::tokens::Tokens;
use crate::tokens::Usage;

/// How many tokens are neither spent nor reserved. None when the task has no budget.
pub fn remaining() -> Option<Tokens> {
    backend::budget::remaining().map(Tokens)
}

/// The most that a call of a model can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelCall<'a> {
    /// The model that is to be called, as `PROVIDER/MODEL`.
    pub model: &'a str,
    /// Tokens sent to it.
    pub input: Tokens,
    /// Tokens received from it.
    pub output: Tokens,
}

/// Sets `amount` tokens aside for one call of the task's model.
///
/// # Errors
///
/// [`Error::Exhausted`] when fewer are left, [`Error::Blocked`] when a cost policy forbids it.
/// Nothing is reserved then.
pub fn reserve(amount: Tokens) -> Result<Reservation, Error> {
    let reserved = backend::budget::reserve(amount.0);
    reserved.map(Reservation).map_err(|error| Error::of(error, amount))
}

/// Sets aside what a call of a model can use at most. The reservation says which model to call.
///
/// # Errors
///
/// [`Error::Exhausted`] when less is left, [`Error::Blocked`] when a cost policy forbids the call.
/// Nothing is reserved then.
pub fn reserve_call(call: ModelCall<'_>) -> Result<Reservation, Error> {
    let ModelCall { model, input, output } = call;
    let most =
        backend::budget::ModelCall { model: model.to_owned(), input: input.0, output: output.0 };
    let reserved = backend::budget::reserve_call(&most);
    let asked = Tokens(input.0.saturating_add(output.0));
    reserved.map(Reservation).map_err(|error| Error::of(error, asked))
}

/// Tokens that are set aside for one call. Dropping it without [`commit`](Self::commit) gives them
/// back, but for those that were [told](Self::tell) as used.
#[derive(Debug)]
#[must_use = "dropping a reservation gives its tokens back"]
pub struct Reservation(backend::budget::Reservation);

impl Reservation {
    /// How many tokens are set aside.
    pub fn amount(&self) -> Tokens {
        Tokens(self.0.amount())
    }

    /// The model to call: the one that was asked for, or another that a cost policy names. None when
    /// neither names one.
    pub fn model(&self) -> Option<String> {
        self.0.model()
    }

    /// Says what was used so far, in all. The host charges it a few times a second while the call
    /// goes on, so that it is not forgotten when the host or the plugin ends in its midst.
    ///
    /// It may be a guess: [`commit`](Self::commit) has the last word. What is beyond
    /// [`amount`](Self::amount) is left to that.
    pub fn tell(&self, used: Usage) {
        self.0.tell(used.into());
    }

    /// Ends the reservation and charges what was truly used.
    ///
    /// The rest goes back to the budget. Use beyond [`amount`](Self::amount) is charged as well,
    /// and can leave the budget with nothing.
    pub fn commit(self, used: Usage) {
        backend::budget::Reservation::commit(self.0, used.into());
    }
}

/// Why nothing was reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Fewer than the asked tokens are left, or less money than they cost.
    Exhausted {
        /// How many were asked for.
        asked: Tokens,
        /// How many are left.
        left: Tokens,
    },
    /// A cost policy forbids the call, for this reason.
    Blocked(String),
}

impl Error {
    fn of(error: backend::budget::Error, asked: Tokens) -> Self {
        match error {
            backend::budget::Error::Exhausted(left) => {
                Self::Exhausted { asked, left: Tokens(left) }
            }
            backend::budget::Error::Blocked(reason) => Self::Blocked(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { asked, left } => {
                write!(f, "asked for `{asked}` tokens, `{left}` are left")
            }
            Self::Blocked(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}
