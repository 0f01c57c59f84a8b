//! Budgets as rows: they are set, begin anew, and wake who waits for them.
//!
//! What is set aside stands in `reserve`, and what was charged in `charges`: triggers carry both into
//! the row of each budget that counts them.

use std::collections::HashMap;

use apflow_model::budget::{Budget, BudgetScope, BudgetUnit, CAP_MAX, Period};
use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{JobSpec, Task};
use apflow_model::state::TaskState;

use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// The most tasks that are woken together. What is left waits until something else is given back.
const WOKEN_MAX: u32 = 1_000;

/// The number of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetId(pub(crate) i64);

/// A budget of a principal, to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBudget {
    /// Whose it is.
    pub principal: String,
    /// What is counted.
    pub unit: BudgetUnit,
    /// How long it lasts.
    pub period: Period,
    /// The most that may be spent, at most [`CAP_MAX`].
    pub cap: u64,
    /// The cost policy that says what happens on the way to it.
    pub policy: Option<String>,
}

const LIST: &str = "SELECT * FROM budget WHERE scope = 'principal' \
                    AND owner = coalesce($1, owner) ORDER BY owner, unit, period";

const OF_JOB: &str = "SELECT * FROM budget WHERE job_id = $1 ORDER BY scope, id";

impl Store {
    /// Sets a budget of a principal, or changes the cap and the policy of the one that there is.
    ///
    /// A new one counts what was charged since its period began; one that does not begin anew counts
    /// from now on. Tasks that waited for it are woken. A cap below what is gone already is taken:
    /// nothing more is set aside then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn put_budget(&self, new: NewBudget, now: Timestamp) -> Result<Budget, StoreError> {
        self.write(Put { new, now }).await
    }

    /// Removes a budget of a principal. False when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    pub async fn remove_budget(
        &self,
        principal: &str,
        unit: BudgetUnit,
        period: Period,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(Remove { principal: principal.to_owned(), unit, period, now }).await
    }

    /// Lists the budgets of principals, of one or of all, by name, unit and period. One whose period
    /// is over shows what it was: it begins anew when it is next used.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_budgets(&self, principal: Option<&str>) -> Result<Vec<Budget>, StoreError> {
        let rows = self.readers().fetch_all(query(LIST).bind(principal.map(str::to_owned))).await?;
        rows.iter().map(read).collect()
    }

    /// Lists the budgets of a job and of its tasks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn budgets_of_job(&self, job: JobId) -> Result<Vec<Budget>, StoreError> {
        let rows = self.readers().fetch_all(query(OF_JOB).bind(job.0)).await?;
        rows.iter().map(read).collect()
    }
}

/// Reads a row of `budget`.
pub(crate) fn read(row: &Row) -> Result<Budget, StoreError> {
    let scope: BudgetScope = word(row, "scope")?;
    let owner: String = row::column(row, "owner")?;
    let id = || owner.parse::<i64>().map_err(|error| StoreError::corrupt(error.to_string()));
    let owner = match scope {
        BudgetScope::Task => TaskId(id()?).to_string(),
        BudgetScope::Job => JobId(id()?).to_string(),
        BudgetScope::Principal => owner,
    };
    Ok(Budget {
        scope,
        owner,
        unit: word(row, "unit")?,
        period: word(row, "period")?,
        started_at: row::moment(row, "started_at")?,
        ends_at: row::perhaps_moment(row, "ends_at")?,
        cap: row::number(row, "cap")?,
        reserved: row::number(row, "reserved")?,
        spent: row::number(row, "spent")?,
        lost: row::number(row, "lost")?,
        overrun: row::number(row, "overrun")?,
        policy: row::column(row, "policy")?,
    })
}

fn word<T: std::str::FromStr<Err = String>>(row: &Row, name: &str) -> Result<T, StoreError> {
    row::column::<&str>(row, name)?.parse().map_err(StoreError::corrupt)
}

pub(crate) const INSERT: Sql = sql!(
    "\
    INSERT INTO budget (scope, owner, unit, period, job_id, started_at, cap, policy) \
    SELECT value->>0, value->>1, value->>2, 'all', CAST(value->>3 AS BIGINT), \
           CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT), value->>6 FROM ",
    ROWS,
    " AS given"
);

/// The rows of the budgets that a job brings along, as the items of a JSON array.
pub(crate) fn items(
    job: JobId,
    tasks: &[Task],
    spec: &JobSpec,
    now: Timestamp,
) -> Result<String, StoreError> {
    let row = |scope: BudgetScope, owner: i64, unit: BudgetUnit, cap: u64, policy| {
        let (owner, cap) = (owner.to_string(), cap.min(CAP_MAX));
        Ok((scope.name(), owner, unit.name(), job.0, now.unix_ms(), cap, policy))
    };
    let of_job = [
        (BudgetUnit::Tokens, spec.token_budget),
        (BudgetUnit::MicroUsd, spec.cost_budget.map(|money| money.0)),
    ];
    let of_job = of_job.into_iter().filter_map(|(unit, cap)| Some((unit, cap?)));
    let of_job = of_job.map(|(unit, cap)| row(BudgetScope::Job, job.0, unit, cap, None));
    let of_tasks = tasks.iter().zip(&spec.tasks).filter_map(|(task, spec)| {
        let policy = spec.cost_policy.as_deref();
        Some(row(BudgetScope::Task, task.id.0, BudgetUnit::Tokens, spec.token_budget?, policy))
    });
    row::items(of_job.chain(of_tasks))
}

const OVER: &str = "SELECT id, period FROM budget WHERE ends_at <= $1";

/// Lets the budgets begin anew whose periods are over.
pub(crate) async fn begin_anew(
    connection: &mut Connection<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    const BEGIN: &str = "UPDATE budget SET started_at = $2, ends_at = $3, spent = 0, lost = 0, \
                         overrun = CASE WHEN reserved > cap THEN reserved - cap ELSE 0 END, \
                         told_ppm = 0 WHERE id = $1";
    let over: Vec<(i64, String)> = query(OVER).bind(now.unix_ms()).read_all(connection).await?;
    for (id, period) in over {
        let period: Period = period.parse().map_err(StoreError::corrupt)?;
        let Some((start, end)) = period.around(now) else { continue };
        let begin = query(BEGIN).bind(id).bind(start.unix_ms()).bind(end.unix_ms());
        begin.execute(connection).await?;
    }
    Ok(())
}

/// The tasks that wait for budgets that count the calls of the tasks `$1`, and which have something
/// left, or nobody to give anything back.
const WAKE_OF_TASKS: Sql = sql!(
    "\
    UPDATE task SET state = 2 WHERE state = 4 AND id IN ( \
      SELECT budget_wait.task_id FROM ( \
        SELECT budget.id FROM ",
    ROWS,
    " AS ended JOIN task ON task.id = CAST(ended.value AS BIGINT) \
        JOIN budget ON budget.job_id = task.job_id \
        UNION \
        SELECT budget.id FROM ",
    ROWS,
    " AS ended JOIN task ON task.id = CAST(ended.value AS BIGINT) \
        JOIN job ON job.id = task.job_id \
        JOIN budget ON budget.scope = 'principal' AND budget.owner = job.principal \
      ) AS touched JOIN budget ON budget.id = touched.id \
      JOIN budget_wait ON budget_wait.budget_id = budget.id \
      WHERE budget.cap > budget.reserved + budget.spent + budget.lost \
         OR budget.scope <> 'principal' AND budget.reserved = 0 LIMIT $2) \
    RETURNING job_id, id"
);

/// The tasks that wait for budgets `$1` which have something left.
const WAKE_OF_BUDGETS: Sql = sql!(
    "\
    UPDATE task SET state = 2 WHERE state = 4 AND id IN ( \
      SELECT budget_wait.task_id FROM ",
    ROWS,
    " AS touched JOIN budget ON budget.id = CAST(touched.value AS BIGINT) \
      JOIN budget_wait ON budget_wait.budget_id = budget.id \
      WHERE budget.cap > budget.reserved + budget.spent + budget.lost LIMIT $2) \
    RETURNING job_id, id"
);

/// The tasks that wait for budgets of a principal which have something left.
const WAKE_OF_PRINCIPAL: &str = "\
    UPDATE task SET state = 2 WHERE state = 4 AND id IN ( \
      SELECT budget_wait.task_id FROM budget \
      JOIN budget_wait ON budget_wait.budget_id = budget.id \
      WHERE budget.scope = 'principal' AND budget.owner = $1 \
        AND budget.cap > budget.reserved + budget.spent + budget.lost LIMIT $2) \
    RETURNING job_id, id";

/// The tasks that wait for budgets whose period has begun by now, or that were removed.
const WAKE_ALL: &str = "\
    UPDATE task SET state = 2 WHERE state = 4 AND id IN ( \
      SELECT budget_wait.task_id FROM budget \
      JOIN budget_wait ON budget_wait.budget_id = budget.id \
      WHERE budget.ends_at IS NOT NULL \
        AND budget.cap > budget.reserved + budget.spent + budget.lost LIMIT $1) \
    RETURNING job_id, id";

const FORGET_WAIT: Sql = sql!(
    "DELETE FROM budget_wait WHERE task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// Wakes those who wait for what these tasks may have given back.
pub(crate) async fn wake_after(
    connection: &mut Connection<'_>,
    tasks: &[TaskId],
    now: Timestamp,
) -> Result<Vec<TaskId>, StoreError> {
    let tasks: Vec<i64> = tasks.iter().map(|task| task.0).collect();
    let wake = query(WAKE_OF_TASKS).bind(row::text(&tasks)?).bind(WOKEN_MAX);
    let woken = wake.read_all(connection).await?;
    tell_woken(connection, woken, now).await
}

/// Wakes those who wait for these budgets, if they have something left.
pub(crate) async fn wake_for(
    connection: &mut Connection<'_>,
    budgets: &[i64],
    now: Timestamp,
) -> Result<Vec<TaskId>, StoreError> {
    let wake = query(WAKE_OF_BUDGETS).bind(row::text(budgets)?).bind(WOKEN_MAX);
    let woken = wake.read_all(connection).await?;
    tell_woken(connection, woken, now).await
}

const NEXT: &str = "SELECT min(ends_at) FROM budget WHERE ends_at IS NOT NULL AND EXISTS ( \
                      SELECT 1 FROM budget_wait WHERE budget_id = budget.id)";

/// What a claim does first for those who wait for a new period. Answers when the next begins that
/// somebody waits for.
pub(crate) async fn wake_due(
    connection: &mut Connection<'_>,
    now: Timestamp,
) -> Result<(Vec<TaskId>, Option<Timestamp>), StoreError> {
    let next = async |connection: &mut Connection<'_>| -> Result<_, StoreError> {
        let (next,): (Option<i64>,) = query(NEXT).read_one(connection).await?;
        Ok(next.map(Timestamp::from_unix_ms))
    };
    let due = next(connection).await?;
    if due.is_none_or(|due| due > now) {
        return Ok((Vec::new(), due));
    }
    begin_anew(connection, now).await?;
    let woken = query(WAKE_ALL).bind(WOKEN_MAX).read_all(connection).await?;
    let woken = tell_woken(connection, woken, now).await?;
    Ok((woken, next(connection).await?))
}

async fn tell_woken(
    connection: &mut Connection<'_>,
    mut woken: Vec<(i64, i64)>,
    now: Timestamp,
) -> Result<Vec<TaskId>, StoreError> {
    if woken.is_empty() {
        return Ok(Vec::new());
    }
    woken.sort_unstable();
    let tasks: Vec<i64> = woken.iter().map(|(_, task)| *task).collect();
    query(FORGET_WAIT).bind(row::text(&tasks)?).execute(connection).await?;
    let ready =
        |(job, task): (i64, i64)| Draft::of_state(JobId(job), TaskId(task), TaskState::Ready, now);
    events::append(connection, woken.into_iter().map(ready).collect()).await?;
    Ok(tasks.into_iter().map(TaskId).collect())
}

const WAIT: Sql = sql!(
    "\
    INSERT INTO budget_wait (task_id, budget_id) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS given WHERE TRUE ON CONFLICT (task_id) DO UPDATE SET budget_id = excluded.budget_id"
);

const PARK: Sql = sql!(
    "\
    UPDATE task SET state = 4 \
    WHERE state + 0 = 2 AND id IN (SELECT CAST(value->>0 AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// Parks ready tasks until the budgets have something left.
pub(crate) async fn park(
    connection: &mut Connection<'_>,
    waits: &HashMap<TaskId, BudgetId>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = waits.iter().map(|(task, budget)| (task.0, budget.0)).collect();
    let rows = row::text(&rows)?;
    query(WAIT).bind(&rows).execute(connection).await?;
    query(PARK).bind(rows).execute(connection).await?;
    Ok(())
}

struct Put {
    new: NewBudget,
    now: Timestamp,
}

const PUT: &str = "\
    INSERT INTO budget (scope, owner, unit, period, started_at, ends_at, cap, spent, overrun, policy) \
    VALUES ('principal', $1, $2, $3, $4, $5, $6, $7, $8, $9) \
    ON CONFLICT (scope, owner, unit, period) DO UPDATE SET cap = excluded.cap, \
      policy = excluded.policy, told_ppm = 0, \
      overrun = CASE WHEN budget.reserved + budget.spent + budget.lost > excluded.cap \
                     THEN budget.reserved + budget.spent + budget.lost - excluded.cap ELSE 0 END";

const CHARGED: &str = "\
    SELECT CAST(coalesce(sum(input + output), 0) AS BIGINT), \
           CAST(coalesce(sum(micro_usd), 0) AS BIGINT) \
    FROM charge WHERE principal = $1 AND at >= $2";

impl Write for Put {
    type Output = Budget;

    const TURN: Turn = Turn::Release;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Budget, StoreError> {
        const FIND: &str = "SELECT * FROM budget WHERE scope = 'principal' AND owner = $1 \
                            AND unit = $2 AND period = $3";
        let NewBudget { principal, unit, period, cap, policy } = &self.new;
        begin_anew(connection, self.now).await?;
        let around = period.around(self.now);
        let start = around.map_or(self.now, |(start, _)| start);
        let charged = query(CHARGED).bind(principal.as_str()).bind(start.unix_ms());
        let (tokens, money): (i64, i64) = charged.read_one(connection).await?;
        let spent = match (period, unit) {
            (Period::All, _) => 0,
            (_, BudgetUnit::Tokens) => tokens,
            (_, BudgetUnit::MicroUsd) => money,
        };
        let cap = row::count((*cap).min(CAP_MAX));
        query(PUT)
            .bind(principal.as_str())
            .bind(unit.name())
            .bind(period.name())
            .bind(start.unix_ms())
            .bind(around.map(|(_, end)| end.unix_ms()))
            .bind(cap)
            .bind(spent)
            .bind(spent.saturating_sub(cap).max(0))
            .bind(policy.clone())
            .execute(connection)
            .await?;
        let wake = query(WAKE_OF_PRINCIPAL).bind(principal.as_str()).bind(WOKEN_MAX);
        let woken = wake.read_all(connection).await?;
        tell_woken(connection, woken, self.now).await?;
        let find = query(FIND).bind(principal.as_str()).bind(unit.name()).bind(period.name());
        let found = find.fetch_optional(connection).await?;
        found.as_ref().map_or_else(|| Err(StoreError::corrupt("a budget is gone")), read)
    }
}

struct Remove {
    principal: String,
    unit: BudgetUnit,
    period: Period,
    now: Timestamp,
}

const WAKE_OF_REMOVED: &str = "\
    UPDATE task SET state = 2 WHERE state = 4 AND id IN ( \
      SELECT budget_wait.task_id FROM budget \
      JOIN budget_wait ON budget_wait.budget_id = budget.id \
      WHERE budget.scope = 'principal' AND budget.owner = $1 AND budget.unit = $2 \
        AND budget.period = $3) RETURNING job_id, id";

const REMOVE: &str = "\
    DELETE FROM budget WHERE scope = 'principal' AND owner = $1 AND unit = $2 AND period = $3";

impl Write for Remove {
    type Output = bool;

    const TURN: Turn = Turn::Release;

    fn is_change(was_there: &bool) -> bool {
        *was_there
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let of = |sql: &'static str| {
            let named = query(sql).bind(self.principal.as_str());
            named.bind(self.unit.name()).bind(self.period.name())
        };
        let woken = of(WAKE_OF_REMOVED).read_all(connection).await?;
        tell_woken(connection, woken, self.now).await?;
        Ok(of(REMOVE).execute(connection).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::reads_whole;

    #[tokio::test]
    async fn budgets_and_those_who_wait_for_them_are_found_by_indexes() {
        let sets = [INSERT, WAKE_OF_TASKS, WAKE_OF_BUDGETS, FORGET_WAIT, WAIT, PARK];
        let singles = [LIST, OF_JOB, OVER, WAKE_OF_PRINCIPAL, NEXT, PUT, CHARGED, REMOVE];
        for sql in sets.into_iter().chain(singles.map(Sql::from)).chain([WAKE_OF_REMOVED.into()]) {
            assert_eq!(reads_whole(sql).await, None, "{}", sql.sqlite);
        }
    }
}
