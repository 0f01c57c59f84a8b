//! What the end of a task does to the tasks that wait for it, and to its job.
//!
//! It does not look further than one job: no task waits for a task of another.

use std::collections::{BTreeMap, HashMap};

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{Edge, JobState, TaskState};

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;

/// A task that moved because one it waited for has ended.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    /// Its job.
    pub(crate) job: JobId,
    /// The task.
    pub(crate) task: TaskId,
    /// The state it is in now: ready, scheduled or skipped.
    pub(crate) state: TaskState,
    /// Not before this moment.
    pub(crate) run_at: Timestamp,
    /// Why it was skipped.
    pub(crate) fault: Option<Fault>,
}

/// The blocked tasks that require one of these, and those that require one of them, however far away.
const FIND_LOST: Sql = sql!(
    "\
    WITH RECURSIVE lost (id) AS ( \
      SELECT CAST(ended.value->>0 AS BIGINT) FROM ",
    ROWS,
    " AS ended WHERE CAST(ended.value->>1 AS BIGINT) <> 8 \
      UNION \
      SELECT task.id FROM lost \
      JOIN dependency ON dependency.dependency_id = lost.id AND dependency.required \
      JOIN task ON task.id = dependency.task_id AND task.state = 0 \
    ) \
    SELECT id FROM lost"
);

/// Each dependency is resolved once: `outcome IS NULL` sees to it.
const RESOLVE: Sql = sql!(
    "\
    UPDATE dependency SET outcome = CAST(ended.value->>1 AS BIGINT) \
    FROM ",
    ROWS,
    " AS ended \
    WHERE dependency.dependency_id = CAST(ended.value->>0 AS BIGINT) \
      AND dependency.outcome IS NULL \
    RETURNING dependency.task_id, dependency.dependency_id, \
              dependency.required AND dependency.outcome <> 8"
);

const NAME: Sql = sql!(
    "SELECT id, reference FROM task WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// A blocked task with a fault is skipped at once; else it moves when its last dependency has ended.
const MOVE: Sql = sql!(
    "\
    UPDATE task SET \
      waiting_count = waiting_count - CAST(resolved.value->>1 AS BIGINT), \
      state = CASE WHEN resolved.value->>2 IS NOT NULL THEN 11 \
                   WHEN waiting_count > CAST(resolved.value->>1 AS BIGINT) THEN 0 \
                   WHEN run_at > $2 THEN 1 ELSE 2 END, \
      fault = resolved.value->>2, \
      ended_at = CASE WHEN resolved.value->>2 IS NOT NULL THEN $2 END \
    FROM ",
    ROWS,
    " AS resolved \
    WHERE task.id = CAST(resolved.value->>0 AS BIGINT) AND task.state = 0 \
    RETURNING task.id, task.state, task.run_at, task.job_id"
);

/// What has happened to a task that waits for others.
#[derive(Default)]
struct Resolved {
    /// How many of them have ended now.
    count: u64,
    /// The first of those that it requires and that did not complete.
    lost: Option<i64>,
}

/// Moves every task that waited for the ended ones, and for those that are skipped by that.
///
/// `ended` are the ids of tasks and the codes of their states. Returns what moved, by id.
pub(crate) async fn resolve(
    connection: &mut Connection<'_>,
    mut ended: Vec<(i64, i64)>,
    now: Timestamp,
) -> Result<Vec<Moved>, StoreError> {
    let completed = TaskState::Completed.code();
    if ended.iter().any(|(_, state)| *state != completed) {
        let found: Vec<(i64,)> =
            query(FIND_LOST).bind(row::text(&ended)?).read_all(connection).await?;
        let known: HashMap<i64, i64> = ended.iter().copied().collect();
        let skipped = found.into_iter().filter(|(task,)| !known.contains_key(task));
        ended.extend(skipped.map(|(task,)| (task, TaskState::Skipped.code())));
    }
    let edges: Vec<(i64, i64, bool)> =
        query(RESOLVE).bind(row::text(&ended)?).read_all(connection).await?;
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let mut resolved = BTreeMap::<i64, Resolved>::new();
    for (dependent, dependency, is_lost) in edges {
        let Resolved { count, lost } = resolved.entry(dependent).or_default();
        *count += 1;
        if is_lost && lost.is_none_or(|first| dependency < first) {
            *lost = Some(dependency);
        }
    }
    let mut faults = faults(connection, &resolved, &ended.into_iter().collect()).await?;
    let rows = resolved.into_iter().map(|(task, Resolved { count, .. })| {
        Ok((task, count, faults.get(&task).map(row::text).transpose()?))
    });
    let rows = format!("[{}]", row::items(rows)?);
    let mut rows: Vec<(i64, i64, i64, i64)> =
        query(MOVE).bind(rows).bind(now.unix_ms()).read_all(connection).await?;
    rows.sort_unstable();
    let mut moved = Vec::with_capacity(rows.len());
    for (task, code, run_at, job) in rows {
        let state = row::state_of(code)?;
        if state == TaskState::Blocked {
            continue;
        }
        let (fault, run_at) = (faults.remove(&task), Timestamp::from_unix_ms(run_at));
        moved.push(Moved { job: JobId(job), task: TaskId(task), state, run_at, fault });
    }
    Ok(moved)
}

/// Why each task is skipped that requires a task which did not complete.
async fn faults(
    connection: &mut Connection<'_>,
    resolved: &BTreeMap<i64, Resolved>,
    ended: &HashMap<i64, i64>,
) -> Result<HashMap<i64, Fault>, StoreError> {
    let lost = || resolved.iter().filter_map(|(task, resolved)| Some((*task, resolved.lost?)));
    let ids: Vec<i64> = lost().map(|(_, dependency)| dependency).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<(i64, String)> = query(NAME).bind(row::text(&ids)?).read_all(connection).await?;
    let names: HashMap<i64, String> = names.into_iter().collect();
    let fault = |(task, dependency): (i64, i64)| {
        let name = names.get(&dependency).map_or("", String::as_str);
        let end = ended.get(&dependency).copied();
        let became = if end == Some(TaskState::Cancelled.code()) {
            "was cancelled"
        } else if end == Some(TaskState::Skipped.code()) {
            "was skipped"
        } else {
            "failed"
        };
        let message = format!("it requires `{name}`, which {became}");
        (task, Fault::new(FaultCode::DependencyLost, message))
    };
    Ok(lost().map(fault).collect())
}

const SHOW_STATES: &str = "SELECT id, state FROM task WHERE job_id = $1 ORDER BY id";

const SHOW_EDGES: &str = "\
    SELECT dependency.task_id, dependency.dependency_id, dependency.required FROM task \
    JOIN dependency ON dependency.task_id = task.id WHERE task.job_id = $1";

/// The dependencies of a job, given the ids of its tasks: each task is named by its place there.
pub(crate) async fn edges(
    connection: &mut Connection<'_>,
    job: JobId,
    ids: impl Iterator<Item = i64>,
) -> Result<Vec<Edge>, StoreError> {
    let places: HashMap<i64, usize> = ids.enumerate().map(|(place, id)| (id, place)).collect();
    let place = |id: i64| {
        let gone = || StoreError::corrupt(format!("{} is not a task of {job}", TaskId(id)));
        places.get(&id).copied().ok_or_else(gone)
    };
    let edges: Vec<(i64, i64, bool)> = query(SHOW_EDGES).bind(job.0).read_all(connection).await?;
    let edge = |(task, dependency, required)| {
        Ok(Edge { task: place(task)?, dependency: place(dependency)?, required })
    };
    edges.into_iter().map(edge).collect()
}

const CLOSE: Sql = sql!(
    "\
    UPDATE job SET open_count = open_count - CAST(ended.value->>1 AS BIGINT) FROM ",
    ROWS,
    " AS ended WHERE job.id = CAST(ended.value->>0 AS BIGINT) RETURNING job.id, job.open_count"
);

/// Takes ended tasks off their `jobs`, and ends those that have no other.
pub(crate) async fn close(
    connection: &mut Connection<'_>,
    jobs: impl Iterator<Item = i64>,
    now: Timestamp,
) -> Result<Vec<(JobId, JobState)>, StoreError> {
    let mut counts = BTreeMap::<i64, u64>::new();
    jobs.for_each(|job| *counts.entry(job).or_default() += 1);
    let counts: Vec<_> = counts.into_iter().collect();
    let mut left: Vec<(i64, i64)> =
        query(CLOSE).bind(row::text(&counts)?).read_all(connection).await?;
    left.sort_unstable();
    let mut ends = Vec::new();
    for (job, _) in left.into_iter().filter(|(_, open)| *open == 0) {
        ends.push((JobId(job), end_job(connection, JobId(job), now).await?));
    }
    Ok(ends)
}

const END_JOB: &str = "UPDATE job SET state = $2, ended_at = $3 WHERE id = $1";

/// Ends a job whose tasks have all ended. Returns how.
pub(crate) async fn end_job(
    connection: &mut Connection<'_>,
    job: JobId,
    at: Timestamp,
) -> Result<JobState, StoreError> {
    let rows: Vec<(i64, i64)> = query(SHOW_STATES).bind(job.0).read_all(connection).await?;
    let states =
        rows.iter().map(|(_, code)| row::state_of(*code)).collect::<Result<Vec<_>, _>>()?;
    let edges = edges(connection, job, rows.iter().map(|(id, _)| *id)).await?;
    let end = JobState::of_ended(&states, &edges);
    query(END_JOB).bind(job.0).bind(end.name()).bind(at.unix_ms()).execute(connection).await?;
    Ok(end)
}
