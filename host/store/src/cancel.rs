//! The cancellation of a job, or of a task with those below it, in one transaction.
//!
//! It stops no guest: the engine does. A task that runs stays `running` until its attempt has ended.

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};

use crate::connection::{Connection, query};
use crate::dependents;
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::tasks::Hold;
use crate::write::{Turn, Write};

/// What a cancellation changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The job.
    pub job: JobId,
    /// The attempts that run, and shall end: also those that were cancelled before.
    pub running: Vec<(TaskId, u32)>,
    /// The tasks that have ended: cancelled, or skipped because of that.
    pub ended: Vec<TaskId>,
    /// The tasks that became ready, since they only had to wait for the end of one that was
    /// cancelled.
    pub became_ready: Vec<TaskId>,
    /// When the earliest task that became scheduled is due.
    pub next_run_at: Option<Timestamp>,
    /// How the job ended, when no task is left.
    pub job_ended: Option<JobState>,
}

impl Store {
    /// Cancels every task of a job that has not ended.
    ///
    /// One that runs is [asked to end](Cancelled::running), and ends with its attempt: as cancelled,
    /// unless it completes before. All others end now. None when there is no such job, or when it has
    /// ended: cancelling again changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn cancel_job(
        &self,
        job: JobId,
        now: Timestamp,
    ) -> Result<Option<Cancelled>, StoreError> {
        self.write(Cancel { find: OF_JOB, id: job.0, now }).await
    }

    /// Cancels a task and all below it, in the same way. What requires one of them is skipped once
    /// that one has ended.
    ///
    /// None when there is no such task, or when all of them have ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn cancel_task(
        &self,
        task: TaskId,
        now: Timestamp,
    ) -> Result<Option<Cancelled>, StoreError> {
        self.write(Cancel { find: OF_TREE, id: task.0, now }).await
    }

    /// Whether any of these attempts still holds its task.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn any_held(&self, attempts: &[(TaskId, u32)]) -> Result<bool, StoreError> {
        for (task, attempt) in attempts {
            if self.holds(*task, *attempt).await? != Hold::Lost {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Cancel {
    /// How to find what has not ended.
    find: &'static str,
    id: i64,
    now: Timestamp,
}

const OF_JOB: &str = "\
    SELECT id, job_id, state, attempt, cancel_at IS NOT NULL FROM task \
    WHERE job_id = $1 AND state < 8 ORDER BY id";

const OF_TREE: &str = "\
    WITH RECURSIVE tree (id) AS ( \
      SELECT id FROM task WHERE id = $1 \
      UNION \
      SELECT task.id FROM tree JOIN task ON task.parent_id = tree.id \
    ) \
    SELECT task.id, task.job_id, task.state, task.attempt, task.cancel_at IS NOT NULL \
    FROM tree JOIN task ON task.id = tree.id WHERE task.state < 8 ORDER BY task.id";

const ASK: Sql = sql!(
    "UPDATE task SET cancel_at = $2 WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const END: Sql = sql!(
    "\
    UPDATE task SET state = 10, cancel_at = $2, fault = $3, ended_at = $2 \
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// A task that has not ended.
struct Open {
    task: TaskId,
    attempt: u32,
    state: TaskState,
    is_asked: bool,
}

impl Write for Cancel {
    type Output = Option<Cancelled>;

    const TURN: Turn = Turn::Cancel;

    fn is_change(cancelled: &Option<Cancelled>) -> bool {
        cancelled.is_some()
    }

    async fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Option<Cancelled>, StoreError> {
        let rows: Vec<(i64, i64, i64, i64, bool)> =
            query(self.find).bind(self.id).read_all(connection).await?;
        let Some(job) = rows.first().map(|row| JobId(row.1)) else { return Ok(None) };
        let open = rows.into_iter().map(|(task, _, state, attempt, is_asked)| {
            let (task, attempt) = (TaskId(task), row::narrow(attempt, "attempt")?);
            Ok(Open { task, attempt, state: row::state_of(state)?, is_asked })
        });
        let open = open.collect::<Result<Vec<_>, StoreError>>()?;
        let (running, idle): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|open| open.state == TaskState::Running);
        let running_now = running.iter().map(|open| (open.task, open.attempt)).collect();
        let mut drafts = self.ask(connection, job, running).await?;
        let mut cancelled = Cancelled {
            job,
            running: running_now,
            ended: Vec::new(),
            became_ready: Vec::new(),
            next_run_at: None,
            job_ended: None,
        };
        if !idle.is_empty() {
            let ids = idle.into_iter().map(|open| open.task.0).collect();
            drafts.extend(self.end(connection, ids, &mut cancelled).await?);
        }
        events::append(connection, drafts).await?;
        let ended = cancelled.ended.iter().map(|_| job.0);
        let jobs_ended = dependents::close(connection, ended, self.now).await?;
        cancelled.job_ended = jobs_ended.first().map(|(_, end)| *end);
        Ok(Some(cancelled))
    }
}

impl Cancel {
    /// Marks what runs, so that its attempts end.
    async fn ask(
        &self,
        connection: &mut Connection<'_>,
        job: JobId,
        running: Vec<Open>,
    ) -> Result<Vec<Draft>, StoreError> {
        let new: Vec<Open> = running.into_iter().filter(|open| !open.is_asked).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = new.iter().map(|open| open.task.0).collect();
        query(ASK).bind(row::text(&ids)?).bind(self.now.unix_ms()).execute(connection).await?;
        let draft = |Open { task, attempt, .. }| {
            let what = Happening::Cancelling;
            Draft { job, task: Some(task), attempt, at: self.now, what }
        };
        Ok(new.into_iter().map(draft).collect())
    }

    /// Ends what does not run, and moves what waited for it.
    async fn end(
        &self,
        connection: &mut Connection<'_>,
        ids: Vec<i64>,
        cancelled: &mut Cancelled,
    ) -> Result<Vec<Draft>, StoreError> {
        let (now, state) = (self.now, TaskState::Cancelled);
        let fault = Fault::new(FaultCode::Cancelled, "somebody cancelled it");
        query(END)
            .bind(row::text(&ids)?)
            .bind(now.unix_ms())
            .bind(row::text(&fault)?)
            .execute(connection)
            .await?;
        let mut drafts = Vec::with_capacity(ids.len());
        for task in ids.iter().copied().map(TaskId) {
            let place = (cancelled.job, task, 0);
            drafts.push(Draft::of_attempt_state(place, state, Some(fault.clone()), now));
            cancelled.ended.push(task);
        }
        let ended = ids.into_iter().map(|id| (id, state.code())).collect();
        for moved in dependents::resolve(connection, ended, now).await? {
            drafts.push(Draft::of_moved(&moved, now));
            if moved.state.is_end() {
                cancelled.ended.push(moved.task);
            } else if moved.state == TaskState::Scheduled {
                let soonest = cancelled.next_run_at.get_or_insert(moved.run_at);
                *soonest = moved.run_at.min(*soonest);
            } else {
                cancelled.became_ready.push(moved.task);
            }
        }
        Ok(drafts)
    }
}
