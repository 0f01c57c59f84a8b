//! What the end of a task does to the tasks that wait for it, and to its job.
//!
//! It does not look further than one job: no task waits for a task of another.

use std::collections::{BTreeMap, HashMap};

use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{Edge, JobState, TaskState};

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;

/// A task that moved because one it waited for has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    /// Its job.
    pub(crate) job: JobId,
    /// The task.
    pub(crate) task: TaskId,
    /// The state it is in now: ready, scheduled or skipped.
    pub(crate) state: TaskState,
    /// Not before this moment.
    pub(crate) run_at: Timestamp,
}

/// Each dependency is resolved once: `outcome IS NULL` sees to it.
const RESOLVE: Sql = sql!(
    "\
    UPDATE dependency SET outcome = CAST(ended.value->>1 AS BIGINT) \
    FROM ",
    ROWS,
    " AS ended \
    WHERE dependency.dependency_id = CAST(ended.value->>0 AS BIGINT) \
      AND dependency.outcome IS NULL \
    RETURNING dependency.task_id, dependency.required AND dependency.outcome <> 8"
);

/// A blocked task is skipped at once when a required dependency is lost; else it moves when its
/// last dependency has ended.
const MOVE: Sql = sql!(
    "\
    UPDATE task SET \
      waiting_count = waiting_count - CAST(resolved.value->>1 AS BIGINT), \
      state = CASE WHEN CAST(resolved.value->>2 AS BOOLEAN) THEN 11 \
                   WHEN waiting_count > CAST(resolved.value->>1 AS BIGINT) THEN 0 \
                   WHEN run_at > $2 THEN 1 ELSE 2 END, \
      ended_at = CASE WHEN CAST(resolved.value->>2 AS BOOLEAN) THEN $2 END \
    FROM ",
    ROWS,
    " AS resolved \
    WHERE task.id = CAST(resolved.value->>0 AS BIGINT) AND task.state = 0 \
    RETURNING task.id, task.state, task.run_at, task.job_id"
);

/// Moves every task that waited for the ended ones, and for those that are skipped by that.
///
/// `ended` are the ids of tasks and the codes of their states. Returns what moved: first the direct dependents by id, then theirs.
pub(crate) async fn resolve(
    connection: &mut Connection<'_>,
    ended: Vec<(i64, i64)>,
    now: Timestamp,
) -> Result<Vec<Moved>, StoreError> {
    let mut moved = Vec::new();
    let mut front = ended;
    while !front.is_empty() {
        let edges: Vec<(i64, bool)> =
            query(RESOLVE).bind(row::text(&front)?).read_all(connection).await?;
        if edges.is_empty() {
            break;
        }
        let mut resolved = BTreeMap::<i64, (u64, bool)>::new();
        for (dependent, is_lost) in edges {
            let (count, any_lost) = resolved.entry(dependent).or_default();
            *count += 1;
            *any_lost |= is_lost;
        }
        let resolved: Vec<_> =
            resolved.into_iter().map(|(task, (count, is_lost))| (task, count, is_lost)).collect();
        let mut rows: Vec<(i64, i64, i64, i64)> = query(MOVE)
            .bind(row::text(&resolved)?)
            .bind(now.unix_ms())
            .read_all(connection)
            .await?;
        rows.sort_unstable();
        front.clear();
        for (task, code, run_at, job) in rows {
            let state = row::state_of(code)?;
            if state == TaskState::Blocked {
                continue;
            }
            if state.is_end() {
                front.push((task, code));
            }
            moved.push(Moved {
                job: JobId(job),
                task: TaskId(task),
                state,
                run_at: Timestamp::from_unix_ms(run_at),
            });
        }
    }
    Ok(moved)
}

const SHOW_STATES: &str = "SELECT id, state FROM task WHERE job_id = $1 ORDER BY id";

const SHOW_EDGES: &str = "\
    SELECT dependency.task_id, dependency.dependency_id, dependency.required FROM task \
    JOIN dependency ON dependency.task_id = task.id WHERE task.job_id = $1";

/// How a job ended whose tasks have all ended.
pub(crate) async fn job_end(
    connection: &mut Connection<'_>,
    job: JobId,
) -> Result<JobState, StoreError> {
    let rows: Vec<(i64, i64)> = query(SHOW_STATES).bind(job.0).read_all(connection).await?;
    let states =
        rows.iter().map(|(_, code)| row::state_of(*code)).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<i64, usize> =
        rows.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
    let place = |id: i64| {
        let gone = || StoreError::corrupt(format!("{} is not a task of {job}", TaskId(id)));
        places.get(&id).copied().ok_or_else(gone)
    };
    let edges: Vec<(i64, i64, bool)> = query(SHOW_EDGES).bind(job.0).read_all(connection).await?;
    let edges = edges
        .into_iter()
        .map(|(task, dependency, required)| {
            Ok(Edge { task: place(task)?, dependency: place(dependency)?, required })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    Ok(JobState::of_ended(&states, &edges))
}
