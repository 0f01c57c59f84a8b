//! The numbered history of a job.
//!
//! It does not push: whoever watches asks again from the last number it saw.

use std::collections::{BTreeMap, HashMap};

use apflow_model::clock::Timestamp;
use apflow_model::event::{Event, Happening};
use apflow_model::fault::Fault;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Origin;
use apflow_model::state::{JobState, TaskState};

use crate::connection::{Connection, Row, query};
use crate::dependents::Moved;
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::{Answers, Turn, WriteGroup};

/// The most events one page holds.
pub const EVENTS_PER_PAGE_MAX: u32 = 1_000;

/// How far the history of a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The job.
    pub job: JobId,
    /// Where the job stands.
    pub state: JobState,
    /// How many events there are, which is the number of the last one.
    pub events: u64,
}

/// Something that happened in an attempt, without its number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: Happening,
}

impl Store {
    /// Adds what happened in a running attempt to its job's history, in the order given.
    ///
    /// Returns the number of the last of them, 0 when there are none.
    ///
    /// # Errors
    ///
    /// [`StoreError::AttemptLost`] when the attempt no longer holds the task; nothing is added.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn append_events(
        &self,
        task: TaskId,
        attempt: u32,
        events: Vec<NewEvent>,
    ) -> Result<u64, StoreError> {
        self.write(Append { task, attempt, events }).await
    }

    /// Lists a job's events with a number above `after`, in order, at most `limit` of them.
    ///
    /// `limit` is brought into 1 to [`EVENTS_PER_PAGE_MAX`]. A job that does not exist has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_events(
        &self,
        job: JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        const SQL: &str = "SELECT n, at, task_id, attempt, what FROM event \
                           WHERE job_id = $1 AND n > $2 ORDER BY n LIMIT $3";
        let rows = self
            .readers()
            .fetch_all(
                query(SQL)
                    .bind(job.0)
                    .bind(row::count(after))
                    .bind(limit.clamp(1, EVENTS_PER_PAGE_MAX)),
            )
            .await?;
        rows.iter().map(|row| read(job, row)).collect()
    }

    /// Lists these events of these jobs: of each job, those after the first number and up to the
    /// second, in order. A job that does not exist has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_spans(&self, spans: &[(JobId, u64, u64)]) -> Result<Vec<Event>, StoreError> {
        let spans: Vec<_> = spans.iter().map(|(job, after, last)| (job.0, after, last)).collect();
        let rows = self.readers().fetch_all(query(SPANS).bind(row::text(&spans)?)).await?;
        rows.iter().map(|row| read(JobId(row::column(row, "job_id")?), row)).collect()
    }

    /// Says how far the histories of these jobs go, in no order. A job that does not exist is left
    /// out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn histories(&self, jobs: &[JobId]) -> Result<Vec<History>, StoreError> {
        let ids: Vec<_> = jobs.iter().map(|job| (job.0,)).collect();
        let found: Vec<(i64, String, i64)> =
            self.readers().read_all(query(HISTORIES).bind(row::text(&ids)?)).await?;
        let found = found.into_iter().map(|(job, state, events)| {
            let state = state.parse().map_err(StoreError::corrupt)?;
            Ok(History { job: JobId(job), state, events: row::narrow(events, "event_count")? })
        });
        found.collect()
    }
}

const HISTORIES: Sql = sql!(
    "SELECT job.id, job.state, job.event_count FROM ",
    ROWS,
    " AS asked JOIN job ON job.id = CAST(asked.value->>0 AS BIGINT)"
);

/// The join is written so that `SQLite` goes from the jobs to their events.
const SPANS: Sql = sql!(
    "\
    SELECT event.job_id, event.n, event.at, event.task_id, event.attempt, event.what FROM ",
    ROWS,
    " AS span CROSS JOIN event \
    WHERE event.job_id = CAST(span.value->>0 AS BIGINT) \
      AND event.n > CAST(span.value->>1 AS BIGINT) AND event.n <= CAST(span.value->>2 AS BIGINT) \
    ORDER BY event.job_id, event.n"
);

fn read(job_id: JobId, row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        n: row::number(row, "n")?,
        at: row::moment(row, "at")?,
        job_id,
        task_id: row::column::<Option<i64>>(row, "task_id")?.map(TaskId),
        attempt: row::number(row, "attempt")?,
        what: row::json(row, "what")?,
    })
}

struct Append {
    task: TaskId,
    attempt: u32,
    events: Vec<NewEvent>,
}

impl WriteGroup for Append {
    type Output = u64;

    const TURN: Turn = Turn::Events;

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<u64>, StoreError> {
        let held = hold(connection, writes.iter().map(|new| (new.task, new.attempt))).await?;
        let (mut drafts, mut answers) = (Vec::new(), Vec::with_capacity(writes.len()));
        for Self { task, attempt, events } in writes {
            let Some(job) = held.get(&(*task, *attempt)) else {
                answers.push(Err(StoreError::AttemptLost));
                continue;
            };
            drafts.extend(events.iter().map(|new| Draft::of_attempt(*job, *task, *attempt, new)));
            answers.push(Ok(drafts.len().checked_sub(1).filter(|_| !events.is_empty())));
        }
        let numbers = append(connection, drafts).await?;
        let number = |last: Option<usize>| last.and_then(|last| numbers.get(last)).copied();
        let answers = answers.into_iter();
        Ok(answers.map(|answer| answer.map(|last| number(last).unwrap_or(0))).collect())
    }
}

/// An event that has no number yet.
pub(crate) struct Draft {
    pub(crate) job: JobId,
    /// None when it is about the job as a whole.
    pub(crate) task: Option<TaskId>,
    pub(crate) attempt: u32,
    pub(crate) at: Timestamp,
    pub(crate) what: Happening,
}

impl Draft {
    /// That the job comes from a schedule.
    pub(crate) fn of_origin(job: JobId, origin: Origin, at: Timestamp) -> Self {
        Self { job, task: None, attempt: 0, at, what: Happening::Fired(origin) }
    }

    /// Something that happened in an attempt.
    pub(crate) fn of_attempt(job: JobId, task: TaskId, attempt: u32, new: &NewEvent) -> Self {
        Self { job, task: Some(task), attempt, at: new.at, what: new.what.clone() }
    }

    /// That a task which no attempt holds moved to another state.
    pub(crate) fn of_state(job: JobId, task: TaskId, state: TaskState, at: Timestamp) -> Self {
        let what = Happening::State { state, fault: None };
        Self { job, task: Some(task), attempt: 0, at, what }
    }

    /// That a task moved because one that it waited for has ended.
    pub(crate) fn of_moved(moved: &Moved, at: Timestamp) -> Self {
        let Moved { job, task, state, ref fault, .. } = *moved;
        let what = Happening::State { state, fault: fault.clone() };
        Self { job, task: Some(task), attempt: 0, at, what }
    }

    /// That an attempt moved its task to another state.
    pub(crate) fn of_attempt_state(
        (job, task, attempt): (JobId, TaskId, u32),
        state: TaskState,
        fault: Option<Fault>,
        at: Timestamp,
    ) -> Self {
        Self { job, task: Some(task), attempt, at, what: Happening::State { state, fault } }
    }
}

/// The jobs of the tasks that these attempts still hold. One that is missing is lost.
pub(crate) async fn hold(
    connection: &mut Connection<'_>,
    attempts: impl Iterator<Item = (TaskId, u32)>,
) -> Result<HashMap<(TaskId, u32), JobId>, StoreError> {
    const SQL: Sql = sql!(
        "SELECT task.id, task.attempt, task.job_id FROM ",
        ROWS,
        " AS asked \
         JOIN task ON task.id = CAST(asked.value->>0 AS BIGINT) \
         WHERE task.attempt = CAST(asked.value->>1 AS BIGINT) AND task.state + 0 = 3"
    );
    let asked: Vec<_> = attempts.map(|(task, attempt)| (task.0, attempt)).collect();
    let held: Vec<(i64, i64, i64)> =
        query(SQL).bind(row::text(&asked)?).read_all(connection).await?;
    let held = held.into_iter().map(|(task, attempt, job)| {
        Ok(((TaskId(task), row::narrow(attempt, "attempt")?), JobId(job)))
    });
    held.collect()
}

/// Numbers the events of any jobs and stores them, each job's in the order given. Returns their
/// numbers, in that order.
pub(crate) async fn append(
    connection: &mut Connection<'_>,
    drafts: Vec<Draft>,
) -> Result<Vec<u64>, StoreError> {
    const SQL: Sql = sql!(
        "UPDATE job SET event_count = event_count + CAST(added.value->>1 AS BIGINT) FROM ",
        ROWS,
        " AS added WHERE job.id = CAST(added.value->>0 AS BIGINT) \
         RETURNING job.id, job.event_count"
    );
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let added = count_by_job(&drafts);
    let counts: Vec<_> = added.iter().collect();
    let lasts: Vec<(i64, i64)> = query(SQL).bind(row::text(&counts)?).read_all(connection).await?;
    insert_each(connection, drafts, lasts).await
}

/// How many of the events belong to each job.
pub(crate) fn count_by_job(drafts: &[Draft]) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    for draft in drafts {
        *counts.entry(draft.job.0).or_default() += 1;
    }
    counts
}

/// Stores the events of many jobs, given the number that the last event of each job has then.
/// Returns the number of each.
pub(crate) async fn insert_each(
    connection: &mut Connection<'_>,
    drafts: Vec<Draft>,
    lasts: Vec<(i64, i64)>,
) -> Result<Vec<u64>, StoreError> {
    let added = count_by_job(&drafts);
    let first = |(job, last)| (job, last - added.get(&job).copied().unwrap_or_default() + 1);
    let mut next: HashMap<i64, i64> = lasts.into_iter().map(first).collect();
    let mut numbered = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let n = next
            .get_mut(&draft.job.0)
            .ok_or_else(|| StoreError::corrupt(format!("there is no {}", draft.job)))?;
        numbered.push((*n, draft));
        *n += 1;
    }
    if let Some(rows) = row::array([items(&numbered)?.as_str()].into_iter()) {
        query(INSERT).bind(rows).later(connection).await?;
    }
    numbered.iter().map(|(n, _)| row::narrow(*n, "event_count")).collect()
}

/// Stores events: the [`items`] of any number of jobs.
pub(crate) const INSERT: Sql = sql!(
    "INSERT INTO event (job_id, n, at, task_id, attempt, what) \
     SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), \
            CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT), \
            CAST(value->>4 AS BIGINT), value->>5 FROM ",
    EACH
);

/// Writes numbered events as the items of a JSON array.
pub(crate) fn items(numbered: &[(i64, Draft)]) -> Result<String, StoreError> {
    let event = |(n, draft): &(i64, Draft)| {
        let what = row::text(&draft.what)?;
        let task = draft.task.map(|task| task.0);
        Ok((draft.job.0, *n, draft.at.unix_ms(), task, draft.attempt, what))
    };
    row::items(numbered.iter().map(event))
}
