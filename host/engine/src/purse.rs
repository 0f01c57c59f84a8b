//! What this process holds of budgets, handed out to its attempts without the store.
//!
//! It decides nothing: the store says how much there is in a block, and when one ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apflow_store::{BudgetId, Line};
use tokio::sync::{Mutex as Turns, Notify};

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
    /// How much the store lets it hold at most.
    max: u64,
    /// Who draws on it: the bell of each, at which it stores its charges.
    users: Vec<Arc<Notify>>,
    /// Whether the bells were rung since it was filled.
    is_rung: bool,
    /// Whether it was drawn on since somebody looked.
    is_drawn: bool,
    /// Held by the one that has it filled.
    turns: Arc<Turns<()>>,
}

/// What became of the wish to take something out.
pub(crate) enum Take {
    /// It is taken.
    Taken,
    /// A block has not enough at present. Whoever has the turn may have it filled.
    Short(Arc<Turns<()>>),
    /// It is more than a block ever holds.
    TooMuch,
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
    ///
    /// What was handed out of a block counts as held until it is stored what became of it. So when
    /// half of one is gone, all who draw on it are told to store their charges: it can be filled then.
    pub(crate) fn take(&self, lines: &[Line]) -> Take {
        let mut blocks = locked(&self.blocks);
        let mut short = None;
        for line in lines {
            let Some(block) = blocks.get_mut(&line.budget) else { return Take::TooMuch };
            if line.amount > block.left {
                if line.amount > block.max {
                    return Take::TooMuch;
                }
                block.ring();
                short = short.or_else(|| Some(Arc::clone(&block.turns)));
            }
        }
        if let Some(turns) = short {
            return Take::Short(turns);
        }
        for line in lines {
            if let Some(block) = blocks.get_mut(&line.budget) {
                block.left -= line.amount;
                block.is_drawn = true;
                if block.left < block.max / 2 {
                    block.ring();
                }
            }
        }
        Take::Taken
    }

    /// Puts in what the store added.
    pub(crate) fn fill(&self, line: &Line) {
        let mut blocks = locked(&self.blocks);
        let block = blocks.entry(line.budget).or_default();
        block.left += line.block;
        block.max = line.block_max;
        (block.is_rung, block.is_drawn) = (false, true);
    }

    /// Puts an amount in again that was not used.
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

    /// Takes out what nobody has drawn on since this was last asked, so that it can be given back.
    pub(crate) fn take_idle(&self) -> Vec<(BudgetId, u64)> {
        let mut blocks = locked(&self.blocks);
        let idle = blocks.iter_mut().filter_map(|(budget, block)| {
            let is_idle = !std::mem::take(&mut block.is_drawn) && block.left > 0;
            is_idle.then(|| (*budget, std::mem::take(&mut block.left)))
        });
        idle.collect()
    }

    /// Begins the use of a block by one more attempt, which stores its charges when `bell` rings.
    pub(crate) fn enter(&self, budget: BudgetId, bell: &Arc<Notify>) {
        locked(&self.blocks).entry(budget).or_default().users.push(Arc::clone(bell));
    }

    /// Ends the use of a block. Answers what is left in it when nobody else draws on it.
    pub(crate) fn leave(&self, budget: BudgetId, bell: &Arc<Notify>) -> Option<u64> {
        let mut blocks = locked(&self.blocks);
        let block = blocks.get_mut(&budget)?;
        block.users.retain(|user| !Arc::ptr_eq(user, bell));
        if !block.users.is_empty() {
            return None;
        }
        blocks.remove(&budget).map(|block| block.left).filter(|left| *left > 0)
    }
}

impl Block {
    fn ring(&mut self) {
        if !std::mem::replace(&mut self.is_rung, true) {
            self.users.iter().for_each(|user| user.notify_one());
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
