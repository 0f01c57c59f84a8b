//! Checks of attempts: one at a time, numbered, and held by a session.

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::TaskState;

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Remedy, Soon, Subject};
use crate::events::{self, Draft};
use crate::row;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "running-without-session",
        why: "a running task is held by a session that has not ended: else nobody ends it, and \
              nobody takes it up",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT id FROM task WHERE state = 3 \
               AND NOT EXISTS (SELECT 1 FROM session \
                               WHERE session.id = task.session_id AND session.ended_at IS NULL)",
        ),
        remedy: Remedy::Repair {
            what: "ends the attempt as lost, so that the task is tried again",
            mend: hand_back,
        },
    },
    Check {
        name: "running-without-attempt",
        why: "a running task has an attempt that has not ended: else it never ends",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT id FROM task WHERE state = 3 AND NOT EXISTS ( \
               SELECT 1 FROM attempt WHERE attempt.task_id = task.id \
                 AND attempt.n = task.attempt AND attempt.ended_at IS NULL)",
        ),
        remedy: Remedy::Repair {
            what: "makes the task ready, so that it is tried again",
            mend: hand_back,
        },
    },
    Check {
        name: "attempt-left-open",
        why: "only the last attempt of a running task has not ended: else two may seem to run",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM attempt JOIN task ON task.id = attempt.task_id \
             WHERE attempt.ended_at IS NULL \
               AND NOT (task.state = 3 AND attempt.n = task.attempt)",
        ),
        remedy: Remedy::Repair { what: "ends the attempt as lost", mend: close },
    },
    Check {
        name: "attempt-numbers",
        why: "attempts go 1, 2, 3 … and the last is the task's: the number fences what is stale",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM task LEFT JOIN ( \
               SELECT task_id, count(*) AS n, max(n) AS last FROM attempt GROUP BY task_id \
             ) AS made ON made.task_id = task.id \
             WHERE task.attempt <> coalesce(made.n, 0) OR task.attempt <> coalesce(made.last, 0)",
        ),
        remedy: Remedy::Advice(
            "rows were lost or changed by hand: restore a backup, or remove the job once it ended",
        ),
    },
];

/// Ends open attempts of these tasks, but the one that holds its task.
const CLOSE: Sql = sql!(
    "\
    UPDATE attempt SET ended_at = $2, fault = $3 \
    WHERE ended_at IS NULL AND task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND NOT EXISTS (SELECT 1 FROM task WHERE task.id = attempt.task_id \
                         AND task.state = 3 AND task.attempt = attempt.n)"
);

fn close<'a>(connection: &'a mut Connection<'_>, ids: &'a [i64], now: Timestamp) -> Soon<'a, u64> {
    Box::pin(async move {
        let close = query(CLOSE).bind(row::text(ids)?).bind(now.unix_ms());
        Ok(close.bind(row::text(&lost())?).execute(connection).await?)
    })
}

const HAND_BACK: Sql = sql!(
    "\
    UPDATE task SET state = 2, session_id = NULL, run_at = $2 \
    WHERE state = 3 AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND (NOT EXISTS (SELECT 1 FROM session \
                        WHERE session.id = task.session_id AND session.ended_at IS NULL) \
            OR NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.task_id = task.id \
                             AND attempt.n = task.attempt AND attempt.ended_at IS NULL)) \
    RETURNING job_id, id, attempt"
);

/// Makes running tasks ready that nobody can end. A guest that still runs has lost its task.
fn hand_back<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    now: Timestamp,
) -> Soon<'a, u64> {
    Box::pin(async move {
        let back = query(HAND_BACK).bind(row::text(ids)?).bind(now.unix_ms());
        let mut rows: Vec<(i64, i64, i64)> = back.read_all(connection).await?;
        rows.sort_unstable();
        close(connection, ids, now).await?;
        let mut drafts = Vec::with_capacity(rows.len());
        for (job, task, attempt) in &rows {
            let held = (JobId(*job), TaskId(*task), row::narrow(*attempt, "attempt")?);
            drafts.push(Draft::of_attempt_state(held, TaskState::Ready, Some(lost()), now));
        }
        events::append(connection, drafts).await?;
        Ok(rows.len() as u64)
    })
}

fn lost() -> Fault {
    Fault::new(FaultCode::HostLost, "nobody held this attempt any more, so `doctor` ended it")
}
