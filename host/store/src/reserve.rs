//! What calls of models set aside, and how a task with budgets starts.
//!
//! It charges nothing: `charges` does.

use std::collections::{HashMap, HashSet};

use apflow_model::budget::BudgetUnit;
use apflow_model::clock::Timestamp;
use apflow_model::cost_policy::{CostRules, Pricing};
use apflow_model::id::{JobId, TaskId};
use apflow_model::money::TokenUse;
use apflow_model::state::TaskState;

use crate::budgets::{self, BudgetId};
use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::governed::{self, Case, Governed, Ruled};
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// Which part of what a budget has left a host holds in a block at most. A host that ends without a
/// word loses no more than this for its budgets.
const BLOCKS_PER_BUDGET: u64 = 256;

/// What an attempt asks for before it calls a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The task.
    pub task: TaskId,
    /// The number of the attempt, which must hold the task.
    pub attempt: u32,
    /// The number of the reservation, from 1. No two of an attempt have the same.
    pub number: u64,
    /// When.
    pub now: Timestamp,
    /// The model that is to be called.
    pub model: Option<String>,
    /// The most that the call can use.
    pub most: TokenUse,
    /// What the session gives back of its blocks first, so that nothing is kept from the call.
    pub given_back: Vec<(BudgetId, u64)>,
    /// Whether it is asked once more when this is refused, with more given back: what is decided now
    /// is not told then.
    pub asks_again: bool,
}

/// What is set aside for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The model to call. None when nobody named one.
    pub model: Option<String>,
    /// The budgets that count the call.
    pub lines: Vec<Line>,
}

/// What is set aside in one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The budget.
    pub budget: BudgetId,
    /// What it counts.
    pub unit: BudgetUnit,
    /// How much is set aside for the call.
    pub amount: u64,
    /// How much more the session may hand out of its memory, for other calls.
    pub block: u64,
    /// How much the session may hold for that at most, at present.
    pub block_max: u64,
    /// Whether a policy looks at it.
    pub is_governed: bool,
}

/// What became of the wish to call a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserving {
    /// It is set aside.
    Reserved(Reserved),
    /// So many tokens are left: or less money than the call may cost. Nothing is set aside.
    Exhausted(u64),
    /// A policy forbids it, or its price is not known, and why. Nothing is set aside.
    Blocked(String),
}

impl Store {
    /// Sets aside what a call of a model can use at most, in every budget that counts it: in all of
    /// them or in none. Policies are asked first.
    ///
    /// # Errors
    ///
    /// [`StoreError::AttemptLost`] when the attempt no longer holds the task, [`StoreError::Database`]
    /// and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped: what it set aside
    /// goes back with the end of the attempt.
    pub async fn reserve(&self, asked: Asked) -> Result<Reserving, StoreError> {
        self.write(Reserve { asked, rules: self.cost_rules().clone() }).await
    }

    /// The tokens that the budgets of a task have left. None without a budget of tokens.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn tokens_left(&self, task: TaskId) -> Result<Option<u64>, StoreError> {
        let mut snapshot = self.readers().snapshot().await?;
        let rules = self.cost_rules();
        let cases = governed::find(&mut snapshot.connection(), rules, &[task.0]).await?;
        Ok(cases.get(&task).and_then(Case::tokens_left))
    }
}

struct Reserve {
    asked: Asked,
    rules: CostRules,
}

const SET_ASIDE: Sql = sql!(
    "\
    INSERT INTO reservation (task_id, attempt, number, budget_id, amount) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
           CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) FROM ",
    ROWS,
    " AS given"
);

const ADD_TO_BLOCKS: Sql = sql!(
    "\
    INSERT INTO budget_block (session_id, budget_id, amount) \
    SELECT task.session_id, CAST(new.value->>1 AS BIGINT), CAST(new.value->>2 AS BIGINT) FROM ",
    ROWS,
    " AS new JOIN task ON task.id = CAST(new.value->>0 AS BIGINT) WHERE TRUE \
    ON CONFLICT (session_id, budget_id) DO UPDATE SET amount = budget_block.amount + excluded.amount"
);

const TAKE_FROM_BLOCKS: Sql = sql!(
    "\
    UPDATE budget_block SET amount = budget_block.amount - CAST(taken.value->>2 AS BIGINT) FROM ",
    ROWS,
    " AS taken JOIN task ON task.id = CAST(taken.value->>0 AS BIGINT) \
    WHERE budget_block.session_id = task.session_id \
      AND budget_block.budget_id = CAST(taken.value->>1 AS BIGINT) \
      AND budget_block.amount >= CAST(taken.value->>2 AS BIGINT)"
);

impl Write for Reserve {
    type Output = Reserving;

    const TURN: Turn = Turn::Reserve;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Reserving, StoreError> {
        let Asked { task, attempt, now, ref model, most, ref given_back, .. } = self.asked;
        let held = events::hold(connection, std::iter::once((task, attempt))).await?;
        if held.is_empty() {
            return Err(StoreError::AttemptLost);
        }
        budgets::begin_anew(connection, now).await?;
        if !given_back.is_empty() {
            let rows = given_back.iter().map(|(budget, amount)| (task.0, budget.0, *amount));
            let rows = row::text(&rows.collect::<Vec<_>>())?;
            query(TAKE_FROM_BLOCKS).bind(rows).execute(connection).await?;
        }
        let mut cases = governed::find(connection, &self.rules, &[task.0]).await?;
        let Some(mut case) = cases.remove(&task) else {
            return Ok(Reserving::Reserved(Reserved { model: model.clone(), lines: Vec::new() }));
        };
        let wanted = model.clone().or_else(|| case.model.clone());
        let pricing = &self.rules.pricing;
        let fits = |governed: &Governed, model: Option<&str>| {
            Ok(amount(governed, pricing, model, most)? <= governed.budget.left())
        };
        let ruled = case.rule(wanted.as_deref(), fits);
        if matches!(ruled, Ruled::Goes(_)) || !self.asked.asks_again {
            case.tell(now);
            let drafts = case.keep(connection, now).await?;
            events::append(connection, drafts).await?;
        }
        match ruled {
            Ruled::Blocked(reason) => Ok(Reserving::Blocked(reason)),
            Ruled::Short => {
                let left = case.tokens_left().unwrap_or_default();
                Ok(Reserving::Exhausted(left))
            }
            Ruled::Goes(model) => self.set_aside(connection, &case, model).await,
        }
    }
}

impl Reserve {
    async fn set_aside(
        &self,
        connection: &mut Connection<'_>,
        case: &Case,
        model: Option<String>,
    ) -> Result<Reserving, StoreError> {
        let Asked { task, attempt, number, most, .. } = self.asked;
        let mut lines = Vec::with_capacity(case.budgets.len());
        for governed in &case.budgets {
            let amount = match amount(governed, &self.rules.pricing, model.as_deref(), most) {
                Ok(amount) => amount,
                Err(reason) => return Ok(Reserving::Blocked(reason)),
            };
            let (budget, unit) = (governed.id, governed.budget.unit);
            let block_max = block_max(governed, amount);
            let block = block_max.saturating_sub(governed.block);
            let is_governed = governed.has_policy();
            lines.push(Line { budget, unit, amount, block, block_max, is_governed });
        }
        let rows = lines.iter().map(|line| (task.0, attempt, number, line.budget.0, line.amount));
        let rows = row::text(&rows.collect::<Vec<_>>())?;
        query(SET_ASIDE).bind(rows).execute(connection).await?;
        let blocks = lines.iter().filter(|line| line.block > 0);
        let blocks = blocks.map(|line| (task.0, line.budget.0, line.block)).collect::<Vec<_>>();
        if !blocks.is_empty() {
            query(ADD_TO_BLOCKS).bind(row::text(&blocks)?).execute(connection).await?;
        }
        Ok(Reserving::Reserved(Reserved { model, lines }))
    }
}

/// What a call may take out of a budget.
fn amount(
    governed: &Governed,
    pricing: &Pricing,
    model: Option<&str>,
    most: TokenUse,
) -> Result<u64, String> {
    match governed.budget.unit {
        BudgetUnit::Tokens => Ok(most.total().0),
        BudgetUnit::MicroUsd => {
            let scope = governed.budget.scope;
            let Some(model) = model else {
                return Err(format!(
                    "the {scope} has a budget in micro-USD, and the call names no model: set \
                     `model` of the task"
                ));
            };
            let cost = pricing(model, most.of_one_call()).ok_or_else(|| {
                format!(
                    "the {scope} has a budget in micro-USD, and no price of `{model}` is known: \
                     add it to the prices"
                )
            })?;
            Ok(cost.0)
        }
    }
}

/// How much a session may hold of a budget beside a call, to hand it out from its memory: a small
/// part of what is left, and no more than what brings the next threshold about.
fn block_max(governed: &Governed, amount: u64) -> u64 {
    let left = governed.budget.left().saturating_sub(amount);
    let held = governed.budget.gone().saturating_add(governed.budget.reserved);
    let until_stop = governed.next_stop().saturating_sub(held.saturating_add(amount));
    let part = left.saturating_add(governed.block) / BLOCKS_PER_BUDGET;
    part.min(governed.block.saturating_add(left.min(until_stop)))
}

/// What becomes of chosen tasks whose budgets are looked at before they start.
#[derive(Default)]
pub(crate) struct Looked {
    /// Those that are parked now.
    pub(crate) parked: HashSet<i64>,
    /// The jobs of those.
    pub(crate) jobs: HashSet<JobId>,
    /// Those that start only to be ended, and why.
    pub(crate) refused: HashMap<TaskId, String>,
}

const CALLS_MODELS: Sql = sql!(
    "\
    SELECT id FROM task WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND (token_budget IS NOT NULL OR model IS NOT NULL OR cost_policy IS NOT NULL \
            OR EXISTS (SELECT 1 FROM budget WHERE scope = 'job' AND owner = CAST(job_id AS TEXT)))"
);

/// Looks at the budgets of chosen tasks that say that they call a model. One whose budgets have
/// nothing left is parked, when something may come back; else it is refused, as it is when a policy
/// says so.
pub(crate) async fn look(
    connection: &mut Connection<'_>,
    rules: &CostRules,
    chosen: &[i64],
    now: Timestamp,
) -> Result<Looked, StoreError> {
    let mut looked = Looked::default();
    if chosen.is_empty() {
        return Ok(looked);
    }
    let tasks: Vec<(i64,)> =
        query(CALLS_MODELS).bind(row::text(chosen)?).read_all(connection).await?;
    if tasks.is_empty() {
        return Ok(looked);
    }
    budgets::begin_anew(connection, now).await?;
    let tasks: Vec<i64> = tasks.into_iter().map(|(task,)| task).collect();
    let (mut waits, mut drafts) = (HashMap::new(), Vec::new());
    for (task, mut case) in governed::find(connection, rules, &tasks).await? {
        let used_up = case.budgets.iter().find(|one| one.budget.left() == 0);
        let used_up = used_up.map(|one| (one.id, one.budget.may_come_back()));
        let wanted = case.model.clone();
        // What is only reserved by others may come back: no chain is left because of that.
        let decided = case.rule(wanted.as_deref(), |_, _| Ok(true));
        case.tell(now);
        drafts.extend(case.keep(connection, now).await?);
        match (decided, used_up) {
            (Ruled::Blocked(reason), _) => {
                looked.refused.insert(task, reason);
            }
            (_, Some((budget, true))) => {
                waits.insert(task, budget);
                looked.parked.insert(task.0);
                looked.jobs.insert(case.job);
                drafts.push(Draft::of_state(case.job, task, TaskState::Parked, now));
            }
            (_, Some((_, false))) => {
                let reason = "its budget is used up, and nothing of it comes back".to_owned();
                looked.refused.insert(task, reason);
            }
            (Ruled::Goes(_) | Ruled::Short, None) => {}
        }
    }
    if !waits.is_empty() {
        budgets::park(connection, &waits).await?;
    }
    events::append(connection, drafts).await?;
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::reads_whole;

    #[tokio::test]
    async fn setting_aside_reads_no_table_as_a_whole() {
        for sql in [SET_ASIDE, ADD_TO_BLOCKS, TAKE_FROM_BLOCKS, CALLS_MODELS] {
            assert_eq!(reads_whole(sql).await, None, "{}", sql.sqlite);
        }
    }
}
