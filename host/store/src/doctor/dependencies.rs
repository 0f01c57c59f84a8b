//! Checks of what tasks wait for.

use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};

use crate::connection::{Connection, query};
use crate::dependents::{self, Moved};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Remedy, Soon, Subject};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "dependency-unresolved",
        why: "what a task waits for is settled in the commit that ends it: else the task is stuck",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM task JOIN dependency ON dependency.task_id = task.id \
             JOIN task AS upstream ON upstream.id = dependency.dependency_id \
             WHERE task.state < 8 AND dependency.outcome IS NULL AND upstream.state >= 8",
        ),
        remedy: Remedy::Repair {
            what: "settles it, so that the task becomes ready or is skipped",
            mend: resolve,
        },
    },
    Check {
        // One that has begun waits no more, even when something before it begins anew.
        name: "waiting-count",
        why: "a task counts the dependencies that have not ended: else it starts too early or never",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM task LEFT JOIN ( \
               SELECT task_id, count(*) AS n FROM dependency WHERE outcome IS NULL \
               GROUP BY task_id) AS open ON open.task_id = task.id \
             WHERE (task.state = 0 OR task.state < 8 AND task.attempt = 0) \
               AND task.waiting_count <> coalesce(open.n, 0)",
        ),
        remedy: Remedy::Repair {
            what: "counts again, so that the task becomes ready once none is left",
            mend: count_again,
        },
    },
    Check {
        name: "dependency-outcome",
        why: "a blocked task knows how what it waits for ended: else it runs on what is not there",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM task JOIN dependency ON dependency.task_id = task.id \
             JOIN task AS upstream ON upstream.id = dependency.dependency_id \
             WHERE task.state = 0 AND dependency.outcome <> upstream.state",
        ),
        remedy: Remedy::Advice("cancel its job and submit it again"),
    },
    Check {
        name: "started-too-early",
        why: "a task starts once all that it requires has completed: else it works on nothing",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM task JOIN dependency ON dependency.task_id = task.id \
             JOIN task AS upstream ON upstream.id = dependency.dependency_id \
             WHERE task.attempt > 0 AND dependency.required AND upstream.state <> 8",
        ),
        remedy: Remedy::Advice("do not trust its output: cancel its job and submit it again"),
    },
];

const ENDED: Sql = sql!(
    "SELECT DISTINCT upstream.id, upstream.state FROM dependency \
     JOIN task AS upstream ON upstream.id = dependency.dependency_id \
     WHERE dependency.outcome IS NULL AND upstream.state >= 8 \
       AND dependency.task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) ORDER BY upstream.id"
);

/// Settles what these tasks wait for and has ended.
fn resolve<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    now: Timestamp,
) -> Soon<'a, u64> {
    Box::pin(async move {
        let ended: Vec<(i64, i64)> =
            query(ENDED).bind(row::text(ids)?).read_all(connection).await?;
        let count = ended.len() as u64;
        let moved = dependents::resolve(connection, ended, now).await?;
        tell(connection, &moved, now).await?;
        Ok(count)
    })
}

/// The same moves as those of a task whose last dependency has ended.
const COUNT_AGAIN: Sql = sql!(
    "\
    UPDATE task SET waiting_count = counted.open_count, \
      state = CASE WHEN counted.is_lost = 1 THEN 11 WHEN counted.open_count > 0 THEN 0 \
                   WHEN run_at > $2 THEN 1 ELSE 2 END, \
      ended_at = CASE WHEN counted.is_lost = 1 THEN $2 END \
    FROM ( \
      SELECT blocked.id, \
        (SELECT count(*) FROM dependency \
           WHERE task_id = blocked.id AND outcome IS NULL) AS open_count, \
        CASE WHEN EXISTS (SELECT 1 FROM dependency WHERE task_id = blocked.id AND required \
                            AND outcome IS NOT NULL AND outcome <> 8) THEN 1 ELSE 0 END AS is_lost \
      FROM task AS blocked WHERE blocked.state IN (0, 1, 2) \
        AND blocked.id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)) AS counted \
    WHERE task.id = counted.id \
    RETURNING task.id, task.state, task.run_at, task.job_id"
);

/// Counts what these tasks wait for again, and moves those that wait for nothing.
fn count_again<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    now: Timestamp,
) -> Soon<'a, u64> {
    Box::pin(async move {
        let again = query(COUNT_AGAIN).bind(row::text(ids)?).bind(now.unix_ms());
        let mut rows: Vec<(i64, i64, i64, i64)> = again.read_all(connection).await?;
        rows.sort_unstable();
        let read = |(task, code, run_at, job): &(i64, i64, i64, i64)| {
            Ok(Moved {
                job: JobId(*job),
                task: TaskId(*task),
                state: row::state_of(*code)?,
                run_at: Timestamp::from_unix_ms(*run_at),
                fault: None,
            })
        };
        let mut moved = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        let skipped = moved.iter().filter(|moved| moved.state.is_end());
        let skipped = skipped.map(|moved| (moved.task.0, moved.state.code())).collect();
        moved.extend(dependents::resolve(connection, skipped, now).await?);
        tell(connection, &moved, now).await?;
        Ok(rows.len() as u64)
    })
}

/// Says in the histories what moved. The jobs are counted again by a check of their own.
async fn tell(
    connection: &mut Connection<'_>,
    moved: &[Moved],
    now: Timestamp,
) -> Result<(), StoreError> {
    let draft = |moved: &Moved| Draft::of_moved(moved, now);
    events::append(connection, moved.iter().map(draft).collect()).await?;
    Ok(())
}
