//! Tasks: which come next, and what they are handed.
//!
//! It does not decide whether a claimed task may run: the engine admits it.

use std::collections::HashMap;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Attempt, Task, TaskDependency};
use apflow_model::retry::Backoff;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use serde_json::Value;

use crate::attempts::{End, Ending};
use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::sessions::SessionId;
use crate::store::Store;
use crate::write::{Turn, Write, WriteGroup};

/// The most scheduled tasks that one claim makes ready. A claim that leaves some behind makes
/// [`Store::next_run_at`] a moment in the past, so the next one comes at once.
pub const PROMOTED_PER_CLAIM_MAX: u32 = 1_000;

/// A task that was handed out to run, with all that an attempt needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job it belongs to.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The number of this attempt, from 1: the fencing token of its writes.
    pub attempt: u32,
    /// The caller's reference to the task.
    pub reference: String,
    /// The plugin that runs it.
    pub executor: String,
    /// Who submitted the job.
    pub principal: String,
    /// Its input, with `$from` references still in it.
    pub inputs: Value,
    /// The longest this attempt may run, as the caller said.
    pub timeout: Option<Duration>,
    /// How often it is tried at most: what the caller said, and one for each clean stop that cut an
    /// attempt short.
    pub attempts_max: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// How many model tokens all its attempts may spend together.
    pub token_budget: Option<u64>,
    /// The model it asks for.
    pub model: Option<String>,
    /// What the operator allows this job alone, beside what the plugin is granted.
    pub grants: Vec<Grant>,
    /// Whether it waited for other tasks.
    pub has_dependencies: bool,
    /// What the task keeps of both. None for all of it.
    pub allow: Option<Vec<Grant>>,
    /// What its earlier attempts used together.
    pub used: Usage,
}

impl Store {
    /// Hands out up to `limit` ready tasks, the most urgent first and then the oldest.
    ///
    /// Each becomes `running` with the next attempt number, durable when this returns: a crash in
    /// the guest still uses up an attempt. Scheduled tasks that are due become ready first. A task
    /// that cannot be read is logged and has failed, with the fault `permanent`; the others are
    /// handed out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is handed out then.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped after the commit, the tasks run for nobody until [`Store::recover`].
    pub async fn claim(
        &self,
        session: SessionId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.write(Claim { session, now, limit }).await
    }

    /// When the next scheduled task is due, perhaps in the past. None when none is scheduled.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn next_run_at(&self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT min(run_at) FROM task WHERE state = 1";
        let next: Option<(Option<i64>,)> = self.readers().read_optional(query(SQL)).await?;
        Ok(next.and_then(|(next,)| next).map(Timestamp::from_unix_ms))
    }

    /// Whether this attempt still holds its task: it has not ended, and no other took it over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn holds(&self, task: TaskId, attempt: u32) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM task WHERE id = $1 AND attempt = $2 AND state = 3";
        let held = self.readers().fetch_optional(query(SQL).bind(task.0).bind(attempt)).await?;
        Ok(held.is_some())
    }

    /// The outputs of the tasks that `task` waits for, by the caller's references.
    ///
    /// None for a dependency that did not complete, which only an optional one can be.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn dependency_outputs(
        &self,
        task: TaskId,
    ) -> Result<HashMap<String, Option<Value>>, StoreError> {
        const SQL: &str = "SELECT upstream.reference, task_output.body \
                           FROM dependency \
                           JOIN task AS upstream ON upstream.id = dependency.dependency_id \
                           LEFT JOIN task_output ON task_output.task_id = upstream.id \
                           WHERE dependency.task_id = $1";
        let rows = self.readers().fetch_all(query(SQL).bind(task.0)).await?;
        let read = |row| Ok((row::column(row, "reference")?, row::perhaps_json(row, "body")?));
        rows.iter().map(read).collect()
    }
}

struct Claim {
    session: SessionId,
    now: Timestamp,
    limit: u32,
}

const PROMOTE: Sql = sql!(
    "\
    WITH due AS MATERIALIZED ( \
      SELECT id FROM task WHERE state = 1 AND run_at <= $1 ORDER BY run_at LIMIT $2 ",
    SKIP_LOCKED,
    " \
    ) \
    UPDATE task SET state = 2 WHERE id IN (SELECT id FROM due) RETURNING job_id, id"
);

const TAKE: Sql = sql!(
    "\
    WITH next AS MATERIALIZED ( \
      SELECT id FROM task WHERE state = 2 ORDER BY priority, run_at, id LIMIT $3 ",
    SKIP_LOCKED,
    " \
    ) \
    UPDATE task SET state = 3, attempt = attempt + 1, session_id = $1, \
                    started_at = coalesce(started_at, $2) \
    WHERE id IN (SELECT id FROM next) RETURNING id"
);

const BEGIN_ATTEMPTS: Sql = sql!(
    "\
    INSERT INTO attempt (task_id, n, session_id, started_at) \
    SELECT id, attempt, session_id, $2 FROM task \
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

const START_JOBS: Sql = sql!(
    "\
    UPDATE job SET state = 'running' \
    WHERE state = 'pending' AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

const SHOW_CLAIMED: Sql = sql!(
    "\
    SELECT task.id, task.job_id, task.attempt, task.reference, task.executor, task.timeout_ms, \
           task.attempts_max, task.backoff, task.token_budget, task.model, task.allow, \
           task_input.body, job.principal, job.grants, \
           EXISTS (SELECT 1 FROM dependency WHERE task_id = task.id) AS has_dependencies \
    FROM task JOIN job ON job.id = task.job_id LEFT JOIN task_input ON task_input.task_id = task.id \
    WHERE task.id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ") \
    ORDER BY task.priority, task.run_at, task.id"
);

const SHOW_USED: Sql = sql!(
    "\
    SELECT task_id, usage FROM attempt \
    WHERE usage IS NOT NULL AND task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

impl Write for Claim {
    type Output = Vec<Claimed>;

    const TURN: Turn = Turn::Claim;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Vec<Claimed>, StoreError> {
        let mut drafts = self.promote(connection).await?;
        let mut claimed = Vec::new();
        loop {
            let got = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
            let taken = self.take(connection, self.limit.saturating_sub(got)).await?;
            drafts.extend(taken.iter().map(|taken| {
                let held = (taken.job, taken.task, taken.attempt);
                Draft::of_attempt_state(held, TaskState::Running, None, self.now)
            }));
            events::append(connection, std::mem::take(&mut drafts)).await?;
            let mut unreadable = Vec::new();
            for taken in taken {
                match taken.read {
                    Ok(task) => claimed.push(task),
                    Err(error) => unreadable.push(self.give_up(taken.task, taken.attempt, &error)),
                }
            }
            if unreadable.is_empty() {
                return Ok(claimed);
            }
            for settled in Ending::apply_group(&unreadable, connection).await? {
                settled?;
            }
            // Once more: there is room left, and the ends may have made other tasks ready.
        }
    }
}

/// A task that has become running.
struct Taken {
    job: JobId,
    task: TaskId,
    attempt: u32,
    /// All of it, unless it cannot be read.
    read: Result<Claimed, StoreError>,
}

impl Claim {
    /// Makes due tasks ready.
    async fn promote(&self, connection: &mut Connection<'_>) -> Result<Vec<Draft>, StoreError> {
        let mut due: Vec<(i64, i64)> = query(PROMOTE)
            .bind(self.now.unix_ms())
            .bind(PROMOTED_PER_CLAIM_MAX)
            .read_all(connection)
            .await?;
        due.sort_unstable();
        let ready =
            |(job, task)| Draft::of_state(JobId(job), TaskId(task), TaskState::Ready, self.now);
        Ok(due.into_iter().map(ready).collect())
    }

    /// Makes the next ready tasks running, and begins their attempts.
    async fn take(
        &self,
        connection: &mut Connection<'_>,
        limit: u32,
    ) -> Result<Vec<Taken>, StoreError> {
        let taken: Vec<(i64,)> = query(TAKE)
            .bind(self.session.0)
            .bind(self.now.unix_ms())
            .bind(limit)
            .read_all(connection)
            .await?;
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let ids = id_list(taken.into_iter().map(|(id,)| id))?;
        query(BEGIN_ATTEMPTS).bind(&ids).bind(self.now.unix_ms()).execute(connection).await?;
        let rows = query(SHOW_CLAIMED).bind(&ids).fetch_all(connection).await?;
        let mut taken = rows.iter().map(read_taken).collect::<Result<Vec<_>, _>>()?;
        let jobs = id_list(taken.iter().map(|taken| taken.job.0))?;
        query(START_JOBS).bind(jobs).execute(connection).await?;
        add_used(connection, &mut taken).await?;
        Ok(taken)
    }

    /// The end of an attempt whose task cannot be read.
    fn give_up(&self, task: TaskId, attempt: u32, error: &StoreError) -> Ending {
        tracing::error!(%task, %error, "a task cannot be read, so it has failed");
        let message = "the host cannot read this task from its database, and its log says why; \
                       submit the task again";
        let end = End::Failed { fault: Fault::new(FaultCode::Permanent, message) };
        Ending {
            task,
            attempt,
            now: self.now,
            end,
            usage: None,
            events: Vec::new(),
            keeps_checkpoints: true,
        }
    }
}

fn read_taken(row: &Row) -> Result<Taken, StoreError> {
    Ok(Taken {
        job: JobId(row::column(row, "job_id")?),
        task: TaskId(row::column(row, "id")?),
        attempt: row::number(row, "attempt")?,
        read: read_claimed(row),
    })
}

fn read_claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        job: JobId(row::column(row, "job_id")?),
        task: TaskId(row::column(row, "id")?),
        attempt: row::number(row, "attempt")?,
        reference: row::column(row, "reference")?,
        executor: row::column(row, "executor")?,
        principal: row::column(row, "principal")?,
        inputs: row::json(row, "body")?,
        timeout: row::perhaps_number(row, "timeout_ms")?.map(Duration::from_millis),
        attempts_max: row::number(row, "attempts_max")?,
        backoff: row::json(row, "backoff")?,
        token_budget: row::perhaps_number(row, "token_budget")?,
        model: row::column(row, "model")?,
        grants: row::json(row, "grants")?,
        has_dependencies: row::column(row, "has_dependencies")?,
        allow: row::perhaps_json(row, "allow")?,
        used: Usage::default(),
    })
}

/// Adds up what earlier attempts used. Most tasks have none, and ask nothing.
async fn add_used(connection: &mut Connection<'_>, taken: &mut [Taken]) -> Result<(), StoreError> {
    let again = taken.iter_mut().filter(|taken| taken.attempt > 1);
    let mut again: HashMap<i64, _> = again.map(|taken| (taken.task.0, &mut taken.read)).collect();
    if again.is_empty() {
        return Ok(());
    }
    let ids = id_list(again.keys().copied())?;
    for row in query(SHOW_USED).bind(ids).fetch_all(connection).await? {
        let Some(read) = again.get_mut(&row::column(&row, "task_id")?) else { continue };
        match (row::json(&row, "usage"), read) {
            (Ok(usage), Ok(task)) => task.used = task.used.and(usage),
            // Without it, the task could spend its budget twice.
            (Err(error), read) => **read = Err(error),
            (Ok(_), Err(_)) => {}
        }
    }
    Ok(())
}

fn id_list(ids: impl Iterator<Item = i64>) -> Result<String, StoreError> {
    row::text(&ids.collect::<Vec<_>>())
}

const SHOW_TASKS: &str = "\
    SELECT task.*, task_output.body FROM task \
    LEFT JOIN task_output ON task_output.task_id = task.id \
    WHERE task.job_id = $1 ORDER BY task.id";

const SHOW_DEPENDENCIES: &str = "\
    SELECT dependency.task_id, dependency.dependency_id, dependency.required FROM task \
    JOIN dependency ON dependency.task_id = task.id \
    WHERE task.job_id = $1 ORDER BY dependency.task_id, dependency.dependency_id";

const SHOW_ATTEMPTS: &str = "\
    SELECT attempt.* FROM task JOIN attempt ON attempt.task_id = task.id \
    WHERE task.job_id = $1 ORDER BY attempt.task_id, attempt.n";

/// Reads the tasks of a job with their dependencies and attempts, in the order they were listed.
pub(crate) async fn of_job(
    connection: &mut Connection<'_>,
    job: JobId,
) -> Result<Vec<Task>, StoreError> {
    let rows = query(SHOW_TASKS).bind(job.0).fetch_all(connection).await?;
    let mut tasks = rows.iter().map(read_task).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<i64, usize> =
        tasks.iter().enumerate().map(|(place, task)| (task.id.0, place)).collect();
    let place = |row: &Row| {
        let id: i64 = row::column(row, "task_id")?;
        places
            .get(&id)
            .copied()
            .ok_or_else(|| StoreError::corrupt(format!("{} is gone", TaskId(id))))
    };
    for row in query(SHOW_DEPENDENCIES).bind(job.0).fetch_all(connection).await? {
        let id = TaskId(row::column(&row, "dependency_id")?);
        let dependency = TaskDependency { id, required: row::column(&row, "required")? };
        tasks[place(&row)?].dependencies.push(dependency);
    }
    for row in query(SHOW_ATTEMPTS).bind(job.0).fetch_all(connection).await? {
        let attempt = read_attempt(&row)?;
        let task = &mut tasks[place(&row)?];
        task.usage = task.usage.and(attempt.usage.unwrap_or_default());
        task.attempts.push(attempt);
    }
    Ok(tasks)
}

fn read_task(row: &Row) -> Result<Task, StoreError> {
    Ok(Task {
        id: TaskId(row::column(row, "id")?),
        job_id: JobId(row::column(row, "job_id")?),
        reference: row::column(row, "reference")?,
        name: row::column(row, "name")?,
        executor: row::column(row, "executor")?,
        state: row::state(row, "state")?,
        parent: row::column::<Option<i64>>(row, "parent_id")?.map(TaskId),
        dependencies: Vec::new(),
        priority: row::number(row, "priority")?,
        run_at: row::moment(row, "run_at")?,
        created_at: row::moment(row, "created_at")?,
        started_at: row::perhaps_moment(row, "started_at")?,
        ended_at: row::perhaps_moment(row, "ended_at")?,
        allow: row::perhaps_json(row, "allow")?,
        max_attempts: row::number(row, "attempts_max")?,
        output: row::perhaps_json(row, "body")?,
        fault: row::perhaps_json(row, "fault")?,
        usage: Usage::default(),
        attempts: Vec::new(),
    })
}

fn read_attempt(row: &Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        n: row::number(row, "n")?,
        started_at: row::moment(row, "started_at")?,
        ended_at: row::perhaps_moment(row, "ended_at")?,
        fault: row::perhaps_json(row, "fault")?,
        usage: row::perhaps_json(row, "usage")?,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::address::Address;
    use crate::connection::Either;

    /// How the database goes about a statement, step by step.
    async fn plan(sql: Sql) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let Either::Sqlite(readers) = store.readers() else { panic!("it is a file") };
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.sqlite)))
            .fetch_all(readers)
            .await
            .unwrap();
        rows.iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn the_next_tasks_are_read_off_an_index_in_order() {
        for (sql, index) in [(PROMOTE, "task_scheduled"), (TAKE, "task_ready")] {
            let steps = plan(sql).await;
            assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{steps:?}");
            assert!(!steps.iter().any(|step| step == "SCAN task"), "{steps:?}");
        }
    }

    #[tokio::test]
    async fn what_is_claimed_is_read_by_its_id() {
        let steps = plan(SHOW_CLAIMED).await;
        let scans = |table| steps.iter().any(|step| step.starts_with(&format!("SCAN {table}")));
        assert!(!["task", "task_input", "job"].into_iter().any(scans), "{steps:?}");
    }

    #[test]
    fn the_states_in_the_statements_are_the_models() {
        let codes = [TaskState::Scheduled, TaskState::Ready, TaskState::Running];
        assert_eq!(codes.map(TaskState::code), [1, 2, 3]);
        let codes = [TaskState::Blocked, TaskState::Completed, TaskState::Skipped];
        assert_eq!(codes.map(TaskState::code), [0, 8, 11]);
    }
}
