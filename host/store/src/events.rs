//! The numbered history of a job.
//!
//! It does not push: whoever watches asks again from the last number it saw.

use std::collections::{BTreeMap, HashMap};

use apflow_model::clock::Timestamp;
use apflow_model::event::{Event, Happening};
use apflow_model::fault::Fault;
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::TaskState;
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, query, query_as};

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::writer::Write;

/// The most events one page holds.
pub const EVENTS_PER_PAGE_MAX: u32 = 1_000;

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
    /// Returns the number of the last event of the job.
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
        let rows = query(SQL)
            .bind(job.0)
            .bind(row::count(after))
            .bind(limit.clamp(1, EVENTS_PER_PAGE_MAX))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| read(job, row)).collect()
    }
}

fn read(job_id: JobId, row: &SqliteRow) -> Result<Event, StoreError> {
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

impl Write for Append {
    type Output = u64;

    async fn apply(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        let job = hold(connection, self.task, self.attempt).await?;
        let of_attempt = |new| Draft::of_attempt(job, self.task, self.attempt, new);
        let drafts = self.events.iter().map(of_attempt).collect();
        append(connection, job, drafts).await
    }
}

/// An event that has no number yet.
pub(crate) struct Draft {
    pub(crate) job: JobId,
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) at: Timestamp,
    pub(crate) what: Happening,
}

impl Draft {
    /// Something that happened in an attempt.
    pub(crate) fn of_attempt(job: JobId, task: TaskId, attempt: u32, new: &NewEvent) -> Self {
        Self { job, task, attempt, at: new.at, what: new.what.clone() }
    }

    /// That a task which no attempt holds moved to another state.
    pub(crate) fn of_state(job: JobId, task: TaskId, state: TaskState, at: Timestamp) -> Self {
        Self { job, task, attempt: 0, at, what: Happening::State { state, fault: None } }
    }

    /// That an attempt moved its task to another state.
    pub(crate) fn of_attempt_state(
        (job, task, attempt): (JobId, TaskId, u32),
        state: TaskState,
        fault: Option<Fault>,
        at: Timestamp,
    ) -> Self {
        Self { job, task, attempt, at, what: Happening::State { state, fault } }
    }
}

/// The job of a task that this attempt still holds.
///
/// # Errors
///
/// [`StoreError::AttemptLost`] when it does not hold it.
pub(crate) async fn hold(
    connection: &mut SqliteConnection,
    task: TaskId,
    attempt: u32,
) -> Result<JobId, StoreError> {
    const SQL: &str = "SELECT job_id FROM task WHERE id = $1 AND attempt = $2 AND state = 3";
    let held: Option<(i64,)> =
        query_as(SQL).bind(task.0).bind(attempt).fetch_optional(connection).await?;
    held.map(|(job,)| JobId(job)).ok_or(StoreError::AttemptLost)
}

/// Numbers the events of one job and stores them. Returns the last number of the job.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    job: JobId,
    drafts: Vec<Draft>,
) -> Result<u64, StoreError> {
    const SQL: &str =
        "UPDATE job SET event_count = event_count + $2 WHERE id = $1 RETURNING event_count";
    let added = row::count(drafts.len() as u64);
    let (last,): (i64,) = query_as(SQL).bind(job.0).bind(added).fetch_one(&mut *connection).await?;
    let numbered: Vec<_> = (last - added + 1..).zip(drafts).collect();
    insert(connection, [items(&numbered)?.as_str()].into_iter()).await?;
    row::narrow(last, "event_count")
}

/// Numbers the events of many jobs and stores them, each job's in the order given.
pub(crate) async fn append_each(
    connection: &mut SqliteConnection,
    drafts: Vec<Draft>,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE job SET event_count = event_count + (added.value->>1) \
                       FROM json_each($1) AS added WHERE job.id = added.value->>0 \
                       RETURNING job.id, job.event_count";
    let added = count_by_job(&drafts);
    let counts: Vec<_> = added.iter().collect();
    let lasts: Vec<(i64, i64)> =
        query_as(SQL).bind(row::text(&counts)?).fetch_all(&mut *connection).await?;
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
pub(crate) async fn insert_each(
    connection: &mut SqliteConnection,
    drafts: Vec<Draft>,
    lasts: Vec<(i64, i64)>,
) -> Result<(), StoreError> {
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
    insert(connection, [items(&numbered)?.as_str()].into_iter()).await
}

/// Stores events: the [`items`] of any number of jobs.
pub(crate) async fn insert<'a>(
    connection: &mut SqliteConnection,
    items: impl Iterator<Item = &'a str>,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO event (job_id, n, at, task_id, attempt, what) \
                       SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 \
                       FROM json_each($1)";
    if let Some(rows) = row::array(items) {
        query(SQL).bind(rows).execute(connection).await?;
    }
    Ok(())
}

/// Writes numbered events as the items of a JSON array.
pub(crate) fn items(numbered: &[(i64, Draft)]) -> Result<String, StoreError> {
    let event = |(n, draft): &(i64, Draft)| {
        let what = row::text(&draft.what)?;
        Ok((draft.job.0, *n, draft.at.unix_ms(), draft.task.0, draft.attempt, what))
    };
    row::items(numbered.iter().map(event))
}
