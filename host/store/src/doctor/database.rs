//! Checks of the database as a whole: its pages, and that no row lacks the row it belongs to.

use crate::connection::{Connection, Either, query};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Found, Remedy, Soon, Subject, run};
use apflow_model::clock::Timestamp;
use apflow_model::doctor::EXAMPLES_MAX;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "database-damaged",
        why: "the pages and indexes of the file fit together: else rows are lost or found twice",
        subject: Subject::Other,
        find: Find::Read(damage),
        remedy: Remedy::Advice(
            "stop the host, keep a copy of the file, and restore a backup, or what \
             `sqlite3 apflow.db .recover` saves; then look at the disk",
        ),
    },
    Check {
        name: "row-without-job",
        why: "tasks and events belong to a job: without one, nobody sees or removes them",
        subject: Subject::Other,
        find: Find::Rows(
            "SELECT job_id AS id FROM task \
               WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.id = task.job_id) \
             UNION ALL SELECT job_id FROM event \
               WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.id = event.job_id)",
        ),
        remedy: Remedy::Repair { what: "removes them", mend: remove_jobless },
    },
    Check {
        name: "row-without-task",
        why: "inputs, outputs, dependencies, attempts, checkpoints and files belong to a task: \
              without one, nobody sees or removes them",
        subject: Subject::Other,
        find: Find::Rows(
            "SELECT task_id AS id FROM ( \
               SELECT task_id FROM task_input UNION ALL SELECT task_id FROM task_output \
               UNION ALL SELECT task_id FROM dependency \
               UNION ALL SELECT dependency_id FROM dependency \
               UNION ALL SELECT task_id FROM attempt UNION ALL SELECT task_id FROM checkpoint \
               UNION ALL SELECT task_id FROM task_file \
               UNION ALL SELECT task_id FROM task_upload) AS belonging \
             WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = belonging.task_id)",
        ),
        remedy: Remedy::Repair { what: "removes them", mend: remove_taskless },
    },
];

/// What `SQLite` says of its file. A server looks after its own.
fn damage<'a>(connection: &'a mut Connection<'_>) -> Soon<'a, Found> {
    Box::pin(async move {
        if matches!(connection, Either::Postgres(_)) {
            return Ok(Found::default());
        }
        let said: Vec<(String,)> = query("SELECT integrity_check FROM pragma_integrity_check")
            .read_all(connection)
            .await?;
        let damages: Vec<String> =
            said.into_iter().map(|(text,)| text).filter(|text| text != "ok").collect();
        let count = damages.len() as u64;
        let examples = damages.into_iter().take(EXAMPLES_MAX).collect();
        Ok(Found { count, ids: Vec::new(), examples })
    })
}

macro_rules! remove_rows {
    ($table:literal, $key:literal, $owner:literal) => {
        sql!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT CAST(value AS BIGINT) FROM ",
            ROWS,
            " AS given) AND NOT EXISTS (SELECT 1 FROM ",
            $owner,
            " WHERE ",
            $owner,
            ".id = ",
            $table,
            ".",
            $key,
            ")"
        )
    };
}

fn remove_jobless<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    _: Timestamp,
) -> Soon<'a, u64> {
    const EACH: [Sql; 2] =
        [remove_rows!("task", "job_id", "job"), remove_rows!("event", "job_id", "job")];
    run_each(connection, &EACH, ids)
}

fn remove_taskless<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    _: Timestamp,
) -> Soon<'a, u64> {
    const EACH: [Sql; 8] = [
        remove_rows!("task_input", "task_id", "task"),
        remove_rows!("task_output", "task_id", "task"),
        remove_rows!("dependency", "task_id", "task"),
        remove_rows!("dependency", "dependency_id", "task"),
        remove_rows!("attempt", "task_id", "task"),
        remove_rows!("checkpoint", "task_id", "task"),
        remove_rows!("task_file", "task_id", "task"),
        remove_rows!("task_upload", "task_id", "task"),
    ];
    run_each(connection, &EACH, ids)
}

fn run_each<'a>(
    connection: &'a mut Connection<'_>,
    each: &'static [Sql],
    ids: &'a [i64],
) -> Soon<'a, u64> {
    Box::pin(async move {
        let mut changed = 0;
        for sql in each {
            changed += run(connection, *sql, ids).await?;
        }
        Ok(changed)
    })
}
