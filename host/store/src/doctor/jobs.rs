//! Checks of jobs: what they count of their tasks, and where they stand by them.

use std::collections::HashMap;

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::state::{Edge, JobState, TaskState};

use crate::connection::{Connection, query};
use crate::doctor::check::{Check, Find, Found, Remedy, Soon, Subject};
use crate::error::StoreError;
use crate::row;

/// How many jobs are read at once.
const JOBS_PER_PAGE: u32 = 500;

const REPAIR: Remedy = Remedy::Repair {
    what: "counts its tasks again, and ends the job if all of them have ended",
    mend: recount,
};

/// The checks of this family.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "task-count",
        why: "a job has as many tasks as it was submitted with",
        subject: Subject::Job,
        find: Find::Rows(
            "SELECT job.id FROM job LEFT JOIN ( \
               SELECT job_id, count(*) AS n FROM task GROUP BY job_id) AS kept \
               ON kept.job_id = job.id WHERE job.task_count <> coalesce(kept.n, 0)",
        ),
        remedy: REPAIR,
    },
    Check {
        name: "open-count",
        why: "a job counts its tasks that have not ended, and ends with the last: else it is stuck",
        subject: Subject::Job,
        find: Find::Rows(
            "SELECT job.id FROM job LEFT JOIN ( \
               SELECT job_id, count(*) AS n FROM task WHERE state < 8 GROUP BY job_id) AS kept \
               ON kept.job_id = job.id WHERE job.open_count <> coalesce(kept.n, 0)",
        ),
        remedy: REPAIR,
    },
    Check {
        name: "job-state",
        why: "where a job stands follows from its tasks: else it never ends, or seems to have",
        subject: Subject::Job,
        find: Find::Read(wrong_states),
        remedy: REPAIR,
    },
];

/// What a job is by its own row, and by its tasks.
struct Facts {
    states: Vec<TaskState>,
    edges: Vec<Edge>,
    has_started: bool,
    last_end: Option<i64>,
}

impl Facts {
    fn state(&self) -> JobState {
        JobState::of(&self.states, &self.edges, self.has_started)
    }
}

const JOBS: &str = "\
    SELECT id, state FROM job WHERE id > $1 AND purged_at IS NULL ORDER BY id LIMIT $2";

const TASKS: &str = "\
    SELECT job_id, id, state, attempt > 0, ended_at FROM task \
    WHERE job_id BETWEEN $1 AND $2 ORDER BY job_id, id";

const EDGES: &str = "\
    SELECT task.job_id, dependency.task_id, dependency.dependency_id, dependency.required FROM task \
    JOIN dependency ON dependency.task_id = task.id WHERE task.job_id BETWEEN $1 AND $2";

/// The facts of all jobs from `first` to `last` that have tasks.
async fn read(
    connection: &mut Connection<'_>,
    first: i64,
    last: i64,
) -> Result<HashMap<i64, Facts>, StoreError> {
    let mut jobs = HashMap::<i64, Facts>::new();
    let mut places = HashMap::<(i64, i64), usize>::new();
    let tasks: Vec<(i64, i64, i64, bool, Option<i64>)> =
        query(TASKS).bind(first).bind(last).read_all(connection).await?;
    for (job, task, state, has_started, ended_at) in tasks {
        let none = || Facts { states: vec![], edges: vec![], has_started: false, last_end: None };
        let facts = jobs.entry(job).or_insert_with(none);
        places.insert((job, task), facts.states.len());
        facts.states.push(row::state_of(state)?);
        facts.has_started |= has_started;
        facts.last_end = facts.last_end.max(ended_at);
    }
    let edges: Vec<(i64, i64, i64, bool)> =
        query(EDGES).bind(first).bind(last).read_all(connection).await?;
    for (job, task, dependency, required) in edges {
        let place = |task| places.get(&(job, task)).copied();
        if let (Some(facts), Some(task), Some(dependency)) =
            (jobs.get_mut(&job), place(task), place(dependency))
        {
            facts.edges.push(Edge { task, dependency, required });
        }
    }
    Ok(jobs)
}

/// The jobs that do not stand where their tasks put them.
fn wrong_states<'a>(connection: &'a mut Connection<'_>) -> Soon<'a, Found> {
    Box::pin(async move {
        let (mut wrong, mut after) = (Vec::new(), i64::MIN);
        loop {
            let page = query(JOBS).bind(after).bind(JOBS_PER_PAGE);
            let page: Vec<(i64, String)> = page.read_all(connection).await?;
            let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) else {
                return Ok(Found::of(Subject::Job, wrong));
            };
            let facts = read(connection, *first, *last).await?;
            after = *last;
            let is_wrong = |(id, state): &&(i64, String)| {
                facts.get(id).is_some_and(|facts| facts.state().name() != state.as_str())
            };
            wrong.extend(page.iter().filter(is_wrong).map(|(id, _)| *id));
        }
    })
}

const RECOUNT: &str = "\
    UPDATE job SET task_count = $2, open_count = $3, state = $4, ended_at = $5 \
    WHERE id = $1 AND purged_at IS NULL";

/// Counts the tasks of these jobs again, and puts each where it should stand.
fn recount<'a>(
    connection: &'a mut Connection<'_>,
    ids: &'a [i64],
    now: Timestamp,
) -> Soon<'a, u64> {
    Box::pin(async move {
        let mut changed = 0;
        for id in ids {
            let Some(facts) = read(connection, *id, *id).await?.remove(id) else {
                tracing::warn!(job = %JobId(*id), "a job without tasks cannot be repaired");
                continue;
            };
            let state = facts.state();
            let open = facts.states.iter().filter(|state| !state.is_end()).count() as u64;
            let end = state.is_end().then(|| facts.last_end.unwrap_or(now.unix_ms()));
            let recount = query(RECOUNT)
                .bind(*id)
                .bind(row::count(facts.states.len() as u64))
                .bind(row::count(open))
                .bind(state.name())
                .bind(end);
            changed += recount.execute(connection).await?;
        }
        Ok(changed)
    })
}
