//! The ledger: what calls of models used, a row a call, and what goes back with it.
//!
//! The row of a call that goes on says what it used so far. One of a call that has ended stays.
//!
//! What a charge does to budgets, triggers do. What it was set aside in goes first, so that no budget
//! seems to be over in between.

use std::collections::{BTreeMap, HashMap, HashSet};

use apflow_model::clock::Timestamp;
use apflow_model::id::TaskId;
use apflow_model::usage::Usage;

use crate::budgets::{self, BudgetId};
use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events;
use crate::row;
use crate::spending::{NewCharge, Spending};
use crate::store::Store;
use crate::write::{Answers, Turn, Write, WriteGroup};

/// The most charges that one purge removes.
pub const CHARGES_PER_PURGE_MAX: u32 = 1_000;

/// What a charge brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// Whether a budget that counts the calls of the task is over its cap now.
    pub is_over: bool,
    /// Whether tasks became ready that waited for what was given back.
    pub has_woken: bool,
}

impl Store {
    /// Charges calls of a running attempt, and ends the reservations of those that have ended. A
    /// call is charged once, however often this is called.
    ///
    /// # Errors
    ///
    /// [`StoreError::AttemptLost`] when the attempt no longer holds the task; nothing is charged.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn charge(
        &self,
        task: TaskId,
        attempt: u32,
        charges: Vec<NewCharge>,
    ) -> Result<Charged, StoreError> {
        self.write(Charge { task, attempt, charges }).await
    }

    /// Gives back what running attempts have set aside and did not use, by the numbers of their
    /// reservations.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    pub async fn release(
        &self,
        task: TaskId,
        attempt: u32,
        numbers: Vec<u64>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(Release { task, attempt, numbers, now }).await.map(drop)
    }

    /// Removes charges from before `until`, at most [`CHARGES_PER_PURGE_MAX`]. Answers how many.
    /// What budgets have spent stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is removed then.
    pub async fn purge_charges(&self, until: Timestamp) -> Result<u64, StoreError> {
        self.write(Purge { until }).await
    }
}

struct Charge {
    task: TaskId,
    attempt: u32,
    charges: Vec<NewCharge>,
}

impl WriteGroup for Charge {
    type Output = Charged;

    const TURN: Turn = Turn::Charge;

    fn makes_work(charged: &Charged) -> bool {
        charged.has_woken
    }

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<Charged>, StoreError> {
        let held =
            events::hold(connection, writes.iter().map(|new| (new.task, new.attempt))).await?;
        let is_held = |write: &&Self| held.contains_key(&(write.task, write.attempt));
        let counted: Vec<_> = writes.iter().filter(is_held).collect();
        let mut book = Book::default();
        for Self { task, attempt, charges } in counted {
            book.add_charges((*task, *attempt), charges)?;
        }
        let last = book.last;
        book.store(connection).await?;
        let tasks: Vec<_> = held.keys().map(|(task, _)| *task).collect();
        let has_woken = wake(connection, &tasks, last).await?;
        let over = find_over(connection, &tasks).await?;
        let answer = |write: &Self| {
            let is_held = held.contains_key(&(write.task, write.attempt));
            let is_over = over.contains(&write.task.0);
            if is_held { Ok(Charged { is_over, has_woken }) } else { Err(StoreError::AttemptLost) }
        };
        Ok(writes.iter().map(answer).collect())
    }
}

/// Wakes who waits for what these tasks may have given back.
async fn wake(
    connection: &mut Connection<'_>,
    tasks: &[TaskId],
    now: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let Some(now) = now else { return Ok(false) };
    Ok(!budgets::wake_after(connection, tasks, now).await?.is_empty())
}

struct Release {
    task: TaskId,
    attempt: u32,
    numbers: Vec<u64>,
    now: Timestamp,
}

impl WriteGroup for Release {
    /// Whether tasks became ready that waited for it.
    type Output = bool;

    const TURN: Turn = Turn::Charge;

    fn makes_work(has_woken: &bool) -> bool {
        *has_woken
    }

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<bool>, StoreError> {
        let mut book = Book::default();
        for Self { task, attempt, numbers, .. } in writes {
            book.ended.extend(numbers.iter().map(|number| (task.0, *attempt, *number)));
        }
        book.store(connection).await?;
        let tasks: Vec<_> = writes.iter().map(|write| write.task).collect();
        let now = writes.iter().map(|write| write.now).max();
        let has_woken = wake(connection, &tasks, now).await?;
        Ok(writes.iter().map(|_| Ok(has_woken)).collect())
    }
}

struct Purge {
    until: Timestamp,
}

const PURGE: &str = "\
    DELETE FROM charge WHERE (task_id, attempt, number) IN ( \
      SELECT task_id, attempt, number FROM charge WHERE at < $1 ORDER BY at LIMIT $2)";

impl Write for Purge {
    type Output = u64;

    const TURN: Turn = Turn::Purge;

    fn is_change(removed: &u64) -> bool {
        *removed > 0
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let purge = query(PURGE).bind(self.until.unix_ms()).bind(CHARGES_PER_PURGE_MAX);
        Ok(purge.execute(connection).await?)
    }
}

const END_RESERVATIONS: Sql = sql!(
    "\
    DELETE FROM reservation WHERE (task_id, attempt, number) IN ( \
      SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const END_RESERVATIONS_OF_ATTEMPTS: Sql = sql!(
    "\
    DELETE FROM reservation WHERE (task_id, attempt) IN ( \
      SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// What stays set aside for calls that go on. It grows smaller alone.
const KEEP_RESERVATIONS: Sql = sql!(
    "\
    UPDATE reservation SET amount = CAST(kept.value->>4 AS BIGINT) FROM ",
    ROWS,
    " AS kept \
    WHERE reservation.task_id = CAST(kept.value->>0 AS BIGINT) \
      AND reservation.attempt = CAST(kept.value->>1 AS BIGINT) \
      AND reservation.number = CAST(kept.value->>2 AS BIGINT) \
      AND reservation.budget_id = CAST(kept.value->>3 AS BIGINT) \
      AND reservation.amount > CAST(kept.value->>4 AS BIGINT)"
);

/// A block never holds less than nothing, whatever a host says that it took.
const TAKE_OUT_OF_BLOCKS: Sql = sql!(
    "\
    UPDATE budget_block SET amount = CASE WHEN budget_block.amount > taken.amount \
                                          THEN budget_block.amount - taken.amount ELSE 0 END \
    FROM ( \
      SELECT attempt.session_id, CAST(took.value->>2 AS BIGINT) AS budget_id, \
             CAST(sum(CAST(took.value->>3 AS BIGINT)) AS BIGINT) AS amount \
      FROM ",
    ROWS,
    " AS took JOIN attempt ON attempt.task_id = CAST(took.value->>0 AS BIGINT) \
                         AND attempt.n = CAST(took.value->>1 AS BIGINT) \
      GROUP BY attempt.session_id, CAST(took.value->>2 AS BIGINT) \
    ) AS taken \
    WHERE budget_block.session_id = taken.session_id AND budget_block.budget_id = taken.budget_id"
);

const INSERT: Sql = sql!(
    "\
    INSERT INTO charge (task_id, attempt, number, job_id, at, principal, executor, is_tool, wanted, \
                        model, input, output, cached, micro_usd, goes_on) \
    SELECT task.id, CAST(new.value->>1 AS BIGINT), CAST(new.value->>2 AS BIGINT), task.job_id, \
           CAST(new.value->>3 AS BIGINT), job.principal, task.executor, \
           CAST(new.value->>4 AS BOOLEAN), new.value->>5, new.value->>6, \
           CAST(new.value->>7 AS BIGINT), CAST(new.value->>8 AS BIGINT), \
           CAST(new.value->>9 AS BIGINT), CAST(new.value->>10 AS BIGINT), \
           CAST(new.value->>11 AS BOOLEAN) FROM ",
    ROWS,
    " AS new JOIN task ON task.id = CAST(new.value->>0 AS BIGINT) \
    JOIN job ON job.id = task.job_id WHERE TRUE \
    ON CONFLICT (task_id, attempt, number) DO UPDATE SET \
      input = excluded.input, output = excluded.output, cached = excluded.cached, \
      micro_usd = excluded.micro_usd, goes_on = excluded.goes_on \
    WHERE charge.goes_on AND (NOT excluded.goes_on \
                              OR excluded.input + excluded.output > charge.input + charge.output)"
);

/// What is written together.
#[derive(Default)]
struct Book {
    /// Reservations that end.
    ended: Vec<(i64, u32, u64)>,
    /// Attempts all of whose reservations end.
    ended_attempts: Vec<(i64, u32)>,
    /// What goes out of the blocks of the sessions of attempts.
    from_blocks: Vec<(i64, u32, i64, u64)>,
    /// What is left of the reservations of calls that go on, by task, attempt, number and budget.
    kept: BTreeMap<(i64, u32, u64, i64), u64>,
    /// The last that is known of each call, and whether it goes on.
    charges: BTreeMap<(i64, u32, u64), (bool, String)>,
    last: Option<Timestamp>,
}

impl Book {
    fn add_charges(
        &mut self,
        (task, attempt): (TaskId, u32),
        charges: &[NewCharge],
    ) -> Result<(), StoreError> {
        for charge in charges {
            let NewCharge { number, at, is_tool, wanted, model, tokens, cost, .. } = charge;
            let call = (task.0, attempt, *number);
            match &charge.left {
                None => self.ended.push(call),
                Some(left) => {
                    for (budget, left) in left {
                        let at = (task.0, attempt, *number, budget.0);
                        self.kept
                            .entry(at)
                            .and_modify(|kept| *kept = *left.min(kept))
                            .or_insert(*left);
                    }
                }
            }
            self.take_out((task, attempt), &charge.from_blocks);
            self.last = self.last.max(Some(*at));
            let tokens = tokens.of_one_call();
            let cost = cost.map(|cost| row::count(cost.0));
            let (input, output, cached) = (tokens.input.0, tokens.output.0, tokens.cached.0);
            let goes_on = charge.left.is_some();
            let row = row::text(&(
                task.0,
                attempt,
                number,
                at.unix_ms(),
                is_tool,
                wanted,
                model,
                input,
                output,
                cached,
                cost,
                goes_on,
            ))?;
            // What is told of a call that has ended comes too late.
            if !goes_on || self.charges.get(&call).is_none_or(|(goes_on, _)| *goes_on) {
                self.charges.insert(call, (goes_on, row));
            }
        }
        Ok(())
    }

    fn take_out(&mut self, (task, attempt): (TaskId, u32), amounts: &[(BudgetId, u64)]) {
        let rows = amounts.iter().map(|(budget, amount)| (task.0, attempt, budget.0, *amount));
        self.from_blocks.extend(rows);
    }

    async fn store(self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        if let Some(last) = self.last {
            budgets::begin_anew(connection, last).await?;
        }
        if !self.ended.is_empty() {
            query(END_RESERVATIONS).bind(row::text(&self.ended)?).later(connection).await?;
        }
        if !self.ended_attempts.is_empty() {
            let rows = row::text(&self.ended_attempts)?;
            query(END_RESERVATIONS_OF_ATTEMPTS).bind(rows).later(connection).await?;
        }
        if !self.kept.is_empty() {
            let kept = self.kept.iter();
            let kept = kept.map(|((task, attempt, number, budget), left)| {
                (task, attempt, number, budget, left)
            });
            let rows = row::text(&kept.collect::<Vec<_>>())?;
            query(KEEP_RESERVATIONS).bind(rows).later(connection).await?;
        }
        if !self.from_blocks.is_empty() {
            let rows = row::text(&self.from_blocks)?;
            query(TAKE_OUT_OF_BLOCKS).bind(rows).later(connection).await?;
        }
        if !self.charges.is_empty() {
            let rows: Vec<_> = self.charges.into_values().map(|(_, row)| row).collect();
            let rows = format!("[{}]", rows.join(","));
            query(INSERT).bind(rows).later(connection).await?;
        }
        Ok(())
    }
}

const OVER: Sql = sql!(
    "\
    SELECT task.id FROM ",
    ROWS,
    " AS asked JOIN task ON task.id = CAST(asked.value AS BIGINT) \
    JOIN job ON job.id = task.job_id \
    WHERE EXISTS (SELECT 1 FROM budget WHERE scope = 'task' AND owner = CAST(task.id AS TEXT) \
                    AND spent + lost > cap) \
       OR EXISTS (SELECT 1 FROM budget WHERE scope = 'job' AND owner = CAST(job.id AS TEXT) \
                    AND spent + lost > cap) \
       OR EXISTS (SELECT 1 FROM budget WHERE scope = 'principal' AND owner = job.principal \
                    AND spent + lost > cap)"
);

/// Which of these tasks have a budget that is over its cap.
async fn find_over(
    connection: &mut Connection<'_>,
    tasks: &[TaskId],
) -> Result<HashSet<i64>, StoreError> {
    let tasks: Vec<i64> = tasks.iter().map(|task| task.0).collect();
    let over: Vec<(i64,)> = query(OVER).bind(row::text(&tasks)?).read_all(connection).await?;
    Ok(over.into_iter().map(|(task,)| task).collect())
}

/// Stores what attempts did with their budgets that end now, gives back what they did not use, and
/// wakes those who wait for it.
pub(crate) async fn settle(
    connection: &mut Connection<'_>,
    ended: &[((TaskId, u32), Timestamp, &Spending)],
) -> Result<Vec<TaskId>, StoreError> {
    let spent: Vec<_> = ended.iter().filter(|(_, _, spending)| !spending.is_empty()).collect();
    let Some(now) = spent.iter().map(|(_, now, _)| *now).max() else { return Ok(Vec::new()) };
    let mut book = Book::default();
    for (attempt, _, spending) in &spent {
        book.add_charges(*attempt, &spending.charges)?;
        book.take_out(*attempt, &spending.given_back);
        if spending.has_reserved {
            book.ended_attempts.push((attempt.0.0, attempt.1));
        }
    }
    book.store(connection).await?;
    let tasks: Vec<_> = spent.iter().map(|((task, _), _, _)| *task).collect();
    budgets::wake_after(connection, &tasks, now).await
}

const SUMS: Sql = sql!(
    "\
    SELECT charge.task_id, charge.attempt, CAST(sum(input) AS BIGINT), CAST(sum(output) AS BIGINT), \
           CAST(sum(cached) AS BIGINT), CAST(coalesce(sum(micro_usd), 0) AS BIGINT), \
           count(*) - count(micro_usd) \
    FROM ",
    ROWS,
    " AS asked JOIN charge ON charge.task_id = CAST(asked.value->>0 AS BIGINT) \
                          AND charge.attempt = CAST(asked.value->>1 AS BIGINT) \
    GROUP BY charge.task_id, charge.attempt"
);

/// The receipts of attempts of which nobody else knows what they used: what they were charged.
pub(crate) async fn receipts(
    connection: &mut Connection<'_>,
    attempts: &[(TaskId, u32)],
) -> Result<HashMap<(TaskId, u32), Usage>, StoreError> {
    let mut receipts = HashMap::new();
    if attempts.is_empty() {
        return Ok(receipts);
    }
    let asked: Vec<_> = attempts.iter().map(|(task, attempt)| (task.0, attempt)).collect();
    let rows: Vec<(i64, i64, i64, i64, i64, i64, i64)> =
        query(SUMS).bind(row::text(&asked)?).read_all(connection).await?;
    for (task, attempt, input, output, cached, money, unpriced) in rows {
        let usage = Usage {
            tokens_input: row::narrow(input, "input")?,
            tokens_output: row::narrow(output, "output")?,
            tokens_cached: row::narrow(cached, "cached")?,
            micro_usd: row::narrow(money, "micro_usd")?,
            calls_unpriced: row::narrow(unpriced, "micro_usd")?,
            ..Usage::default()
        };
        receipts.insert((TaskId(task), row::narrow(attempt, "attempt")?), usage);
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::reads_whole;

    #[tokio::test]
    async fn charging_reads_no_table_as_a_whole() {
        let book = [END_RESERVATIONS, END_RESERVATIONS_OF_ATTEMPTS, KEEP_RESERVATIONS];
        for sql in book.into_iter().chain([TAKE_OUT_OF_BLOCKS, INSERT, OVER, SUMS, PURGE.into()]) {
            assert_eq!(reads_whole(sql).await, None, "{}", sql.sqlite);
        }
    }
}
