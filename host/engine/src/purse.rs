//! What this process holds of budgets, handed out to its attempts without the store.
//!
//! It decides nothing: the store says how much there is in a block, and when one ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use apflow_store::{BudgetId, Line};

/// What this process holds in blocks of budgets, for all its attempts.
#[derive(Default)]
pub(crate) struct Purse {
    blocks: Mutex<HashMap<BudgetId, Block>>,
    /// Goes up when what attempts know of budgets and policies may be wrong.
    news: AtomicU64,
}

#[derive(Default)]
struct Block {
    left: u64,
    /// How many attempts draw on it.
    users: usize,
}

impl Purse {
    /// Lets every attempt ask the store again before its next call.
    pub(crate) fn has_news(&self) {
        self.news.fetch_add(1, Ordering::AcqRel);
    }

    /// How often there was news.
    pub(crate) fn news(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }

    /// Takes all of these amounts, or none.
    pub(crate) fn take(&self, lines: &[Line]) -> bool {
        let mut blocks = locked(&self.blocks);
        let is_enough =
            |line: &Line| blocks.get(&line.budget).is_some_and(|block| block.left >= line.amount);
        if !lines.iter().all(is_enough) {
            return false;
        }
        for line in lines {
            if let Some(block) = blocks.get_mut(&line.budget) {
                block.left -= line.amount;
            }
        }
        true
    }

    /// Puts an amount in, from the store or from a call that did not use it.
    pub(crate) fn add(&self, budget: BudgetId, amount: u64) {
        locked(&self.blocks).entry(budget).or_default().left += amount;
    }

    /// Whether there is anything to give back.
    pub(crate) fn has_some(&self) -> bool {
        locked(&self.blocks).values().any(|block| block.left > 0)
    }

    /// Takes everything out, so that it can be given back.
    pub(crate) fn empty(&self) -> Vec<(BudgetId, u64)> {
        let mut blocks = locked(&self.blocks);
        let held = blocks.iter_mut().filter(|(_, block)| block.left > 0);
        held.map(|(budget, block)| (*budget, std::mem::take(&mut block.left))).collect()
    }

    /// Begins the use of a block by one more attempt.
    pub(crate) fn enter(&self, budget: BudgetId) {
        locked(&self.blocks).entry(budget).or_default().users += 1;
    }

    /// Ends the use of a block. Answers what is left in it when nobody else draws on it.
    pub(crate) fn leave(&self, budget: BudgetId) -> Option<u64> {
        let mut blocks = locked(&self.blocks);
        let block = blocks.get_mut(&budget)?;
        block.users = block.users.saturating_sub(1);
        if block.users > 0 {
            return None;
        }
        blocks.remove(&budget).map(|block| block.left).filter(|left| *left > 0)
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
