//! Checks of parked tasks: what each waits for.

use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::TaskState;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Remedy, Soon, Subject};
use crate::events::{self, Draft};
use crate::row;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[Check {
    name: "parked-without-approval",
    why: "a parked task waits for an approval that nobody has decided, or for a budget: else it \
          never goes on",
    subject: Subject::Task,
    find: Find::Rows(
        "SELECT id FROM task WHERE state = 4 AND NOT EXISTS ( \
           SELECT 1 FROM approval WHERE task_id = task.id AND decided_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM budget_wait WHERE task_id = task.id)",
    ),
    remedy: Remedy::Repair {
        what: "makes the task ready, so that somebody is asked again if it must be approved",
        mend: unpark,
    },
}];

const UNPARK: Sql = sql!(
    "\
    UPDATE task SET state = 2 \
    WHERE state = 4 AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND NOT EXISTS (SELECT 1 FROM approval WHERE task_id = task.id AND decided_at IS NULL) \
       AND NOT EXISTS (SELECT 1 FROM budget_wait WHERE task_id = task.id) \
    RETURNING job_id, id"
);

fn unpark<'a>(connection: &'a mut Connection<'_>, ids: &'a [i64], now: Timestamp) -> Soon<'a, u64> {
    Box::pin(async move {
        let mut rows: Vec<(i64, i64)> =
            query(UNPARK).bind(row::text(ids)?).read_all(connection).await?;
        rows.sort_unstable();
        let ready = |(job, task): &(i64, i64)| {
            Draft::of_state(JobId(*job), TaskId(*task), TaskState::Ready, now)
        };
        events::append(connection, rows.iter().map(ready).collect()).await?;
        Ok(rows.len() as u64)
    })
}
