//! The cancellation of a job: every task that has not ended ends now, in one transaction.
//!
//! It stops no guest: the engine does, and an attempt that it misses has lost its task.

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};

use crate::connection::{Connection, query};
use crate::dependents;
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// What a cancellation changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The tasks that were running.
    pub running: Vec<TaskId>,
    /// How the job ended: `cancelled`, unless a task had failed before.
    pub state: JobState,
}

impl Store {
    /// Cancels every task of a job that has not ended, and so ends the job.
    ///
    /// None when there is no such job, or when it has ended: cancelling again changes nothing.
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
        self.write(CancelJob { job, now }).await
    }
}

struct CancelJob {
    job: JobId,
    now: Timestamp,
}

const RUNNING: &str = "SELECT id, attempt FROM task WHERE job_id = $1 AND state = 3 ORDER BY id";

const CANCEL_TASKS: &str = "\
    UPDATE task SET state = 10, session_id = NULL, fault = $2, ended_at = $3 \
    WHERE job_id = $1 AND state < 8 RETURNING id";

const END_ATTEMPT: &str =
    "UPDATE attempt SET ended_at = $3, fault = $4 WHERE task_id = $1 AND n = $2";

const END_JOB: &str = "UPDATE job SET open_count = 0, state = $2, ended_at = $3 WHERE id = $1";

impl Write for CancelJob {
    type Output = Option<Cancelled>;

    const TURN: Turn = Turn::Cancel;

    async fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Option<Cancelled>, StoreError> {
        let (job, now) = (self.job, self.now);
        let fault = Fault::new(FaultCode::Cancelled, "somebody cancelled the job");
        let text = row::text(&fault)?;
        let running: Vec<(i64, i64)> = query(RUNNING).bind(job.0).read_all(connection).await?;
        let mut cancelled: Vec<(i64,)> = query(CANCEL_TASKS)
            .bind(job.0)
            .bind(&text)
            .bind(now.unix_ms())
            .read_all(connection)
            .await?;
        if cancelled.is_empty() {
            return Ok(None);
        }
        for (task, attempt) in &running {
            let end = query(END_ATTEMPT).bind(*task).bind(*attempt).bind(now.unix_ms()).bind(&text);
            end.execute(connection).await?;
        }
        cancelled.sort_unstable();
        let draft = |(task,): (i64,)| {
            let attempt = running.iter().find(|(id, _)| *id == task).map_or(0, |(_, n)| *n);
            let place = (job, TaskId(task), row::narrow(attempt, "attempt")?);
            Ok(Draft::of_attempt_state(place, TaskState::Cancelled, Some(fault.clone()), now))
        };
        let drafts = cancelled.into_iter().map(draft).collect::<Result<Vec<_>, StoreError>>()?;
        events::append(connection, drafts).await?;
        let state = dependents::job_end(connection, job).await?;
        let end = query(END_JOB).bind(job.0).bind(state.name()).bind(now.unix_ms());
        end.execute(connection).await?;
        let running = running.into_iter().map(|(task, _)| TaskId(task)).collect();
        Ok(Some(Cancelled { running, state }))
    }
}
