//! The model tokens that this task may still spend.
//!
//! A budget is a hard cap: tokens are reserved before a model is called and settled afterwards, so
//! two calls that run at once can never both spend the last token. Prices are the host's matter.
//!
//! ```
//! use apflow_sdk::budget::{self, Tokens};
//! use apflow_sdk::{Usage, testing::Host};
//!
//! # fn main() -> Result<(), apflow_sdk::Fault> {
//! let host = Host::new().budget(1000);
//! host.within(|| {
//!     let reservation = budget::reserve(Tokens(600))?;
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

/// Sets `amount` tokens aside for one call.
///
/// # Errors
///
/// [`Error::Exhausted`] when fewer are left. Nothing is reserved then.
pub fn reserve(amount: Tokens) -> Result<Reservation, Error> {
    backend::budget::reserve(amount.0).map(Reservation).map_err(|error| {
        let backend::budget::Error::Exhausted(left) = error;
        Error::Exhausted { asked: amount, left: Tokens(left) }
    })
}

/// Tokens that are set aside for one call. Dropping it without [`commit`](Self::commit) gives them
/// all back.
#[derive(Debug)]
#[must_use = "dropping a reservation gives its tokens back"]
pub struct Reservation(backend::budget::Reservation);

impl Reservation {
    /// How many tokens are set aside.
    pub fn amount(&self) -> Tokens {
        Tokens(self.0.amount())
    }

    /// Ends the reservation and charges what was truly used.
    ///
    /// The rest goes back to the budget. Use beyond [`amount`](Self::amount) is charged as well,
    /// and can leave the budget with nothing.
    pub fn commit(self, used: Usage) {
        backend::budget::Reservation::commit(self.0, used.into());
    }
}

/// Why tokens were not reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Fewer than the asked tokens are left.
    Exhausted {
        /// How many were asked for.
        asked: Tokens,
        /// How many are left.
        left: Tokens,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Exhausted { asked, left } = self;
        write!(f, "asked for `{asked}` tokens, `{left}` are left")
    }
}

impl std::error::Error for Error {}
