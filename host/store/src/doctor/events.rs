//! Checks of histories: numbered without gaps, and in agreement with the tasks.

use std::collections::HashMap;

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::id::{JobId, TaskId};

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::doctor::check::{Check, Find, Found, Remedy, Soon, Subject, run};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;

/// How many tasks are read at once.
const TASKS_PER_PAGE: u32 = 1_000;

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "event-numbers",
        why: "the events of a job go 1, 2, 3 … without a gap: whoever watches counts on it",
        subject: Subject::Job,
        find: Find::Rows(
            "SELECT job_id AS id FROM event GROUP BY job_id \
             HAVING count(*) <> max(n) OR min(n) <> 1",
        ),
        remedy: Remedy::Advice(
            "rows were lost or changed by hand: restore a backup, or remove the job once it ended",
        ),
    },
    Check {
        name: "event-count",
        why: "a job counts its events: the next one gets the next number",
        subject: Subject::Job,
        find: Find::Rows(
            "SELECT job.id FROM job LEFT JOIN ( \
               SELECT job_id, max(n) AS last FROM event GROUP BY job_id) AS told \
               ON told.job_id = job.id WHERE job.event_count <> coalesce(told.last, 0)",
        ),
        remedy: Remedy::Repair { what: "takes the number of the last event", mend: recount },
    },
    Check {
        name: "event-state",
        why: "the last state that a history tells of a task is the task's: else watchers see another",
        subject: Subject::Task,
        find: Find::Read(untold),
        remedy: Remedy::Repair { what: "tells the state in the history", mend: tell },
    },
];

fn recount<'a>(connection: &'a mut Connection<'_>, ids: &'a [i64], _: Timestamp) -> Soon<'a, u64> {
    const SQL: Sql = sql!(
        "\
        UPDATE job SET event_count = \
          (SELECT coalesce(max(n), 0) FROM event WHERE event.job_id = job.id) \
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
        ROWS,
        " AS given)"
    );
    run(connection, SQL, ids)
}

const TASKS: &str = "\
    SELECT task.id, task.job_id, task.state FROM task JOIN job ON job.id = task.job_id \
    WHERE task.id > $1 AND job.purged_at IS NULL ORDER BY task.id LIMIT $2";

const TASKS_OF: Sql = sql!(
    "SELECT id, job_id, state FROM task WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) ORDER BY id"
);

/// The last state that is told of each task of the jobs `$1`. A happening is JSON that begins with
/// its kind.
const TOLD: Sql = sql!(
    "\
    SELECT event.task_id, event.what FROM event JOIN ( \
      SELECT job_id, task_id, max(n) AS n FROM event \
      WHERE job_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND what LIKE '{\"kind\":\"state\"%' GROUP BY job_id, task_id \
    ) AS last ON last.job_id = event.job_id AND last.n = event.n"
);

/// A task: its id, its job and the code of its state.
type Task = (i64, i64, i64);

/// Those of these tasks of which the history tells another state.
async fn differing(
    connection: &mut Connection<'_>,
    tasks: &[Task],
) -> Result<Vec<Task>, StoreError> {
    let mut jobs: Vec<i64> = tasks.iter().map(|(_, job, _)| *job).collect();
    jobs.dedup();
    let rows: Vec<(Option<i64>, String)> =
        query(TOLD).bind(row::text(&jobs)?).read_all(connection).await?;
    let mut told = HashMap::new();
    for (task, what) in rows {
        if let (Some(task), Ok(Happening::State { state, .. })) = (task, row::parse(&what, "what"))
        {
            told.insert(task, state.code());
        }
    }
    let differs = |(task, _, state): &&Task| told.get(task) != Some(state);
    Ok(tasks.iter().filter(differs).copied().collect())
}

fn untold<'a>(connection: &'a mut Connection<'_>) -> Soon<'a, Found> {
    Box::pin(async move {
        let (mut wrong, mut after) = (Vec::new(), i64::MIN);
        loop {
            let page = query(TASKS).bind(after).bind(TASKS_PER_PAGE);
            let page: Vec<Task> = page.read_all(connection).await?;
            let Some((last, _, _)) = page.last() else {
                return Ok(Found::of(Subject::Task, wrong));
            };
            after = *last;
            wrong.extend(differing(connection, &page).await?.into_iter().map(|(task, _, _)| task));
        }
    })
}

fn tell<'a>(connection: &'a mut Connection<'_>, ids: &'a [i64], now: Timestamp) -> Soon<'a, u64> {
    Box::pin(async move {
        let tasks: Vec<Task> = query(TASKS_OF).bind(row::text(ids)?).read_all(connection).await?;
        let mut drafts = Vec::new();
        for (task, job, state) in differing(connection, &tasks).await? {
            drafts.push(Draft::of_state(JobId(job), TaskId(task), row::state_of(state)?, now));
        }
        Ok(events::append(connection, drafts).await?.len() as u64)
    })
}
