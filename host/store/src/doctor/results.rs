//! Checks of what ended tasks keep.

use apflow_model::clock::Timestamp;

use crate::connection::Connection;
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Remedy, Soon, Subject, run};

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "ended-without-moment",
        why: "a task says when it ended exactly if it has: retention and reports go by it",
        subject: Subject::Task,
        find: Find::Rows("SELECT id FROM task WHERE (state >= 8) <> (ended_at IS NOT NULL)"),
        remedy: Remedy::Repair {
            what: "takes the end of its last attempt, or else of its acceptance",
            mend: set_end,
        },
    },
    Check {
        name: "output-of-unfinished",
        why: "only a completed task has an output: what another returned does not count",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task.id FROM task_output JOIN task ON task.id = task_output.task_id \
             WHERE task.state <> 8",
        ),
        remedy: Remedy::Repair { what: "removes the output", mend: drop_output },
    },
    Check {
        name: "output-missing",
        why: "a completed task has its output: what waits for it works on it",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT id FROM task WHERE state = 8 \
               AND NOT EXISTS (SELECT 1 FROM task_output WHERE task_id = task.id)",
        ),
        remedy: Remedy::Advice("the output is lost: restore a backup, or submit the job again"),
    },
    Check {
        name: "checkpoint-numbers",
        why: "the checkpoints of a task go 1, 2, 3 …: an attempt goes on from the last",
        subject: Subject::Task,
        find: Find::Rows(
            "SELECT task_id AS id FROM checkpoint GROUP BY task_id \
             HAVING count(*) <> max(n) OR min(n) <> 1",
        ),
        remedy: Remedy::Advice(
            "rows were lost or changed by hand: cancel the job, or trust the last checkpoint",
        ),
    },
];

fn set_end<'a>(connection: &'a mut Connection<'_>, ids: &'a [i64], _: Timestamp) -> Soon<'a, u64> {
    const SQL: Sql = sql!(
        "\
        UPDATE task SET ended_at = CASE WHEN state >= 8 THEN coalesce( \
          (SELECT max(attempt.ended_at) FROM attempt WHERE task_id = task.id), created_at) END \
        WHERE (state >= 8) <> (ended_at IS NOT NULL) \
          AND id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given)"
    );
    run(connection, SQL, ids)
}

fn drop_output<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    _: Timestamp,
) -> Soon<'a, u64> {
    const SQL: Sql = sql!(
        "\
        DELETE FROM task_output WHERE task_id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given) AND EXISTS (SELECT 1 FROM task WHERE task.id = task_output.task_id AND state <> 8)"
    );
    run(connection, SQL, ids)
}
