//! A call of a model that goes on: what is set aside for it, and what of that was charged so far.
//!
//! It stores nothing, and takes nothing out of blocks: `budget` does.

use apflow_model::budget::BudgetUnit;
use apflow_model::clock::Timestamp;
use apflow_model::cost_policy::Pricing;
use apflow_model::money::TokenUse;
use apflow_store::{BudgetId, Line, NewCharge};

/// A reservation that has not ended.
pub(crate) struct OpenCall {
    /// The model that was asked for.
    pub(crate) wanted: Option<String>,
    /// The model that is called.
    pub(crate) model: Option<String>,
    /// What is set aside in each budget that counts it.
    pub(crate) lines: Vec<Line>,
    /// Whether it was taken out of blocks.
    pub(crate) is_of_blocks: bool,
    /// What its guest says that it used so far.
    told: TokenUse,
    /// What of that is charged.
    charged: TokenUse,
    /// How much was charged of each line.
    taken: Vec<u64>,
}

/// A charge for a call, and what follows from it.
pub(crate) struct Charged {
    pub(crate) charge: NewCharge,
    /// Whether the call used more than was set aside for it.
    pub(crate) exceeds: bool,
    /// What goes back into blocks.
    pub(crate) unused: Vec<(BudgetId, u64)>,
}

/// What a charge is for, beside what was used.
pub(crate) struct Of<'a> {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) is_tool: bool,
    pub(crate) pricing: &'a Pricing,
}

impl OpenCall {
    pub(crate) fn new(
        (wanted, model): (Option<String>, Option<String>),
        lines: Vec<Line>,
        is_of_blocks: bool,
    ) -> Self {
        let taken = vec![0; lines.len()];
        let (told, charged) = (TokenUse::default(), TokenUse::default());
        Self { wanted, model, lines, is_of_blocks, told, charged, taken }
    }

    /// Takes what a guest says that the call used so far. The last word counts.
    pub(crate) fn tell(&mut self, used: TokenUse) {
        self.told = used;
    }

    /// What it used so far, when its guest has said so.
    pub(crate) fn told(&self) -> Option<TokenUse> {
        (self.told != TokenUse::default()).then_some(self.told)
    }

    /// Charges what it used since it was charged last. None when that is nothing, or more than was
    /// set aside: what is beyond that is charged at its end.
    pub(crate) fn charge_so_far(&mut self, of: &Of<'_>) -> Option<NewCharge> {
        if self.told.total() <= self.charged.total() {
            return None;
        }
        let used = self.used(of, self.told);
        if self.lines.iter().zip(&used).any(|(line, used)| *used > line.amount) {
            return None;
        }
        self.charged = self.told;
        let from_blocks = self.take(&used);
        let left = self.lines.iter().zip(&used);
        let left = left.map(|(line, used)| (line.budget, line.amount - used)).collect();
        Some(self.charge(of, self.told, from_blocks, Some(left)))
    }

    /// Charges what it used in all, which is what it used so far or more, or less if that was wrong.
    pub(crate) fn end(mut self, of: &Of<'_>, tokens: TokenUse) -> Charged {
        let used = self.used(of, tokens);
        let exceeds = self.lines.iter().zip(&used).any(|(line, used)| *used > line.amount);
        let from_blocks = self.take(&used);
        let unused = self.unused();
        let charge = self.charge(of, tokens, from_blocks, None);
        Charged { charge, exceeds, unused }
    }

    /// What goes back into blocks when nothing more is charged.
    pub(crate) fn unused(&self) -> Vec<(BudgetId, u64)> {
        if !self.is_of_blocks {
            return Vec::new();
        }
        let lines = self.lines.iter().zip(&self.taken);
        lines.map(|(line, taken)| (line.budget, line.amount - taken)).collect()
    }

    /// How much of each line this is.
    fn used(&self, of: &Of<'_>, tokens: TokenUse) -> Vec<u64> {
        let cost = self.model.as_deref().and_then(|model| (of.pricing)(model, tokens));
        let used = |line: &Line| match line.unit {
            BudgetUnit::Tokens => tokens.total().0,
            BudgetUnit::MicroUsd => cost.map_or(line.amount, |cost| cost.0),
        };
        self.lines.iter().map(used).collect()
    }

    /// Takes this out of blocks, as far as it was set aside and is not taken yet. What was taken for a
    /// guess that was too high does not go back into a block: it goes back to the budget.
    fn take(&mut self, used: &[u64]) -> Vec<(BudgetId, u64)> {
        if !self.is_of_blocks {
            return Vec::new();
        }
        let lines = self.lines.iter().zip(used).zip(&mut self.taken);
        let take = |((line, used), taken): ((&Line, &u64), &mut u64)| {
            let before = *taken;
            *taken = before.max(*used.min(&line.amount));
            (line.budget, *taken - before)
        };
        lines.map(take).collect()
    }

    fn charge(
        &self,
        of: &Of<'_>,
        tokens: TokenUse,
        from_blocks: Vec<(BudgetId, u64)>,
        left: Option<Vec<(BudgetId, u64)>>,
    ) -> NewCharge {
        let Of { number, at, is_tool, pricing } = *of;
        let cost = self.model.as_deref().and_then(|model| pricing(model, tokens));
        let (wanted, model) = (self.wanted.clone(), self.model.clone());
        NewCharge { number, at, is_tool, wanted, model, tokens, cost, from_blocks, left }
    }
}
