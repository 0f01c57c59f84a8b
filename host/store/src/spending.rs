//! What an attempt did with its budgets, on its way to the store.
//!
//! It stores nothing: `charges` does.

use apflow_model::clock::Timestamp;
use apflow_model::money::{MicroUsd, TokenUse};

use crate::budgets::BudgetId;

/// A call of a model that is charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCharge {
    /// Which reservation of the attempt it is for, from 1. 0 for what was set aside by none.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Whether a tool called the model.
    pub is_tool: bool,
    /// The model that was asked for.
    pub wanted: Option<String>,
    /// The model that was called.
    pub model: Option<String>,
    /// What it used.
    pub tokens: TokenUse,
    /// What it cost. None when the price is not known.
    pub cost: Option<MicroUsd>,
    /// What goes out of the blocks of the session with it.
    pub from_blocks: Vec<(BudgetId, u64)>,
    /// What of its reservation stays set aside while the call goes on: it is charged anew then. None
    /// of a call that has ended, which ends its reservation.
    pub left: Option<Vec<(BudgetId, u64)>>,
}

/// What an attempt did with its budgets that is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spending {
    /// What it was charged.
    pub charges: Vec<NewCharge>,
    /// What goes back of the blocks of the session.
    pub given_back: Vec<(BudgetId, u64)>,
    /// Whether it may have reservations in the store.
    pub has_reserved: bool,
}

impl Spending {
    /// What is known of an attempt whose host ended.
    pub(crate) fn unknown() -> Self {
        Self { has_reserved: true, ..Self::default() }
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.charges.is_empty() && self.given_back.is_empty() && !self.has_reserved
    }
}
