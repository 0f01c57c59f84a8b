//! Chosen tasks become running, and are read for whoever runs them.
//!
//! It does not choose them: the claim does.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::hops::Hops;
use apflow_model::id::{JobId, TaskId};
use apflow_model::retry::Backoff;
use apflow_model::state::TaskState;
use apflow_model::usage::Usage;
use serde_json::Value;

use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::plugins::PluginRevision;
use crate::row;
use crate::sessions::SessionId;

/// A task that was handed out to run, with all that an attempt needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job it belongs to.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The number of this attempt, from 1: the fencing token of its writes.
    pub attempt: u32,
    /// When it was due to run.
    pub due_at: Timestamp,
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
    /// The task fails unless it has ended before this moment.
    pub deadline: Option<Timestamp>,
    /// How often it is tried at most, those attempts included that count no more.
    pub attempts_max: u32,
    /// How many of its attempts count no more.
    pub attempts_before: u32,
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
    /// Whether a result of its tool that is kept may be given again, and its own is kept.
    pub uses_cache: bool,
    /// What its earlier attempts used together.
    pub used: Usage,
    /// The hosts that the job came through.
    pub hops: Hops,
    /// Whether budgets count its calls of models.
    pub has_budgets: bool,
    /// Why it may not start, since its budgets are used up or a cost policy says so: the attempt is
    /// to be ended at once.
    pub refused: Option<String>,
    /// What the plugins were when it was handed out.
    pub plugins: PluginRevision,
}

pub(crate) const TAKE: Sql = sql!(
    "\
    UPDATE task SET state = 3, attempt = attempt + 1, session_id = $2, \
                    started_at = coalesce(started_at, $3) \
    WHERE state + 0 = 2 AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const BEGIN_ATTEMPTS: Sql = sql!(
    "\
    INSERT INTO attempt (task_id, n, session_id, started_at, component_id) \
    SELECT id, attempt, session_id, $2, \
           (SELECT component.id FROM plugin JOIN component ON component.digest = plugin.digest \
            WHERE plugin.name = task.executor) \
    FROM task WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// Each task that is taken is an event of its job.
const START_JOBS: Sql = sql!(
    "\
    UPDATE job SET state = CASE state WHEN 'pending' THEN 'running' ELSE state END, \
                   event_count = event_count + taken.n \
    FROM (SELECT job_id, count(*) AS n FROM task \
          WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) GROUP BY job_id) AS taken WHERE job.id = taken.job_id"
);

pub(crate) const SHOW_CLAIMED: Sql = sql!(
    "\
    SELECT task.id, task.job_id, task.attempt, task.run_at, task.reference, task.executor, task.timeout_ms, \
           task.deadline, task.attempts_max, task.attempts_before, task.backoff, task.token_budget, task.model, task.allow, task.uses_cache, \
           task_input.body, job.principal, job.grants, job.event_count, job.hops, \
           EXISTS (SELECT 1 FROM dependency WHERE task_id = task.id) AS has_dependencies, \
           task.token_budget IS NOT NULL \
             OR EXISTS (SELECT 1 FROM budget \
                        WHERE scope = 'job' AND owner = CAST(task.job_id AS TEXT)) \
             OR EXISTS (SELECT 1 FROM budget \
                        WHERE scope = 'principal' AND owner = job.principal) AS has_budgets \
    FROM task JOIN job ON job.id = task.job_id LEFT JOIN task_input ON task_input.task_id = task.id \
    WHERE task.id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) \
    ORDER BY task.priority, task.run_at, task.id"
);

const SHOW_USED: Sql = sql!(
    "\
    SELECT task_id, usage FROM attempt \
    WHERE usage IS NOT NULL AND task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// A task that has become running, as it is stored: it is read once the writer is free again.
pub(crate) struct Taken {
    job: JobId,
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    row: Row,
    /// What each earlier attempt used.
    used: Vec<Row>,
    /// Why it may not start.
    pub(crate) refused: Option<String>,
}

/// Makes chosen tasks running, and begins their attempts.
pub(crate) async fn take(
    connection: &mut Connection<'_>,
    chosen: &[i64],
    session: SessionId,
    now: Timestamp,
) -> Result<Vec<Taken>, StoreError> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let ids = row::text(chosen)?;
    query(TAKE).bind(&ids).bind(session.0).bind(now.unix_ms()).later(connection).await?;
    query(BEGIN_ATTEMPTS).bind(&ids).bind(now.unix_ms()).later(connection).await?;
    query(START_JOBS).bind(&ids).later(connection).await?;
    let rows = query(SHOW_CLAIMED).bind(ids).fetch_all(connection).await?;
    let mut lasts = BTreeMap::new();
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let (job, task) = (row::column(&row, "job_id")?, row::column(&row, "id")?);
        lasts.insert(job, row::column(&row, "event_count")?);
        let (job, task) = (JobId(job), TaskId(task));
        let attempt = row::number(&row, "attempt")?;
        taken.push(Taken { job, task, attempt, row, used: Vec::new(), refused: None });
    }
    let running = |taken: &Taken| {
        let held = (taken.job, taken.task, taken.attempt);
        Draft::of_attempt_state(held, TaskState::Running, None, now)
    };
    let drafts = taken.iter().map(running).collect();
    events::insert_each(connection, drafts, lasts.into_iter().collect()).await?;
    find_used(connection, &mut taken).await?;
    Ok(taken)
}

/// Finds what earlier attempts used. Most tasks have none, and ask nothing.
async fn find_used(connection: &mut Connection<'_>, taken: &mut [Taken]) -> Result<(), StoreError> {
    let again = taken.iter_mut().filter(|taken| taken.attempt > 1);
    let mut again: HashMap<i64, _> = again.map(|taken| (taken.task.0, &mut taken.used)).collect();
    if again.is_empty() {
        return Ok(());
    }
    let ids = row::text(&again.keys().collect::<Vec<_>>())?;
    for row in query(SHOW_USED).bind(ids).fetch_all(connection).await? {
        if let Some(used) = again.get_mut(&row::column(&row, "task_id")?) {
            used.push(row);
        }
    }
    Ok(())
}

impl Taken {
    /// The plugin that runs it.
    pub(crate) fn executor(&self) -> Result<&str, StoreError> {
        row::column(&self.row, "executor")
    }

    /// Reads all of it. Without what was used, a task could spend its budget twice.
    pub(crate) fn read(&self) -> Result<Claimed, StoreError> {
        let mut task = read_claimed(&self.row)?;
        task.refused.clone_from(&self.refused);
        for used in &self.used {
            task.used = task.used.and(row::json(used, "usage")?);
        }
        Ok(task)
    }
}

fn read_claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        job: JobId(row::column(row, "job_id")?),
        task: TaskId(row::column(row, "id")?),
        attempt: row::number(row, "attempt")?,
        due_at: row::moment(row, "run_at")?,
        reference: row::column(row, "reference")?,
        executor: row::column(row, "executor")?,
        principal: row::column(row, "principal")?,
        inputs: row::json(row, "body")?,
        timeout: row::perhaps_number(row, "timeout_ms")?.map(Duration::from_millis),
        deadline: row::perhaps_moment(row, "deadline")?,
        attempts_max: row::number(row, "attempts_max")?,
        attempts_before: row::number(row, "attempts_before")?,
        backoff: row::json(row, "backoff")?,
        token_budget: row::perhaps_number(row, "token_budget")?,
        model: row::column(row, "model")?,
        grants: row::json(row, "grants")?,
        has_dependencies: row::column(row, "has_dependencies")?,
        allow: row::perhaps_json(row, "allow")?,
        uses_cache: row::column(row, "uses_cache")?,
        used: Usage::default(),
        hops: row::hops(row, "hops")?,
        has_budgets: row::column(row, "has_budgets")?,
        refused: None,
        plugins: PluginRevision::default(),
    })
}
