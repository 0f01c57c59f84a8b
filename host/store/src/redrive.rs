//! The redrive of tasks that did not end well: they run again, in the job that they are of.
//!
//! It decides nothing: `apflow_model::redrive` says which tasks run again and which wait.

use std::collections::HashSet;

use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::redrive::{self, Stand};
use apflow_model::state::{JobState, TaskState};

use crate::approvals;
use crate::connection::{Connection, query};
use crate::dependents;
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// Which tasks of a job to redrive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedriveChoice {
    /// Only these. Empty for all.
    pub tasks: Vec<TaskId>,
    /// Those that were cancelled as well, not only those that failed.
    pub with_cancelled: bool,
}

/// What a redrive changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redriven {
    /// The tasks that had ended, and have not now, with their states.
    pub tasks: Vec<(TaskId, TaskState)>,
}

impl Store {
    /// Lets the failed tasks of a job run again, with as many attempts as they had, and with their
    /// checkpoints. What was skipped because of them waits again.
    ///
    /// The numbers of attempts go on, since they fence. Nothing is changed where nothing has failed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn redrive(
        &self,
        job: JobId,
        choice: RedriveChoice,
        now: Timestamp,
    ) -> Result<Redriven, StoreError> {
        self.write(Redrive { job, choice, now }).await
    }

    /// The job of a task. None when there is no such task.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn job_of(&self, task: TaskId) -> Result<Option<JobId>, StoreError> {
        const SQL: &str = "SELECT job_id FROM task WHERE id = $1";
        let found: Option<(i64,)> = self.readers().read_optional(query(SQL).bind(task.0)).await?;
        Ok(found.map(|(job,)| JobId(job)))
    }

    /// The tasks of a job that have ended and did not complete, with their states and tools.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn tools_not_completed(
        &self,
        job: JobId,
    ) -> Result<Vec<(TaskId, TaskState, String)>, StoreError> {
        const SQL: &str = "SELECT id, state, executor FROM task \
                           WHERE job_id = $1 AND state > 8 ORDER BY id";
        let rows: Vec<(i64, i64, String)> = self.readers().read_all(query(SQL).bind(job.0)).await?;
        let read = |(id, state, tool)| Ok((TaskId(id), row::state_of(state)?, tool));
        rows.into_iter().map(read).collect()
    }

    /// The ids of the tasks of a job by the caller's references, in the order they were listed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn references(&self, job: JobId) -> Result<Vec<(String, TaskId)>, StoreError> {
        const SQL: &str = "SELECT reference, id FROM task WHERE job_id = $1 ORDER BY id";
        let rows: Vec<(String, i64)> = self.readers().read_all(query(SQL).bind(job.0)).await?;
        Ok(rows.into_iter().map(|(reference, id)| (reference, TaskId(id))).collect())
    }
}

struct Redrive {
    job: JobId,
    choice: RedriveChoice,
    now: Timestamp,
}

const SHOW: &str = "SELECT id, state, run_at, started_at IS NOT NULL FROM task \
                    WHERE job_id = $1 ORDER BY id";

/// Also of tasks that wait again and had not ended: they have begun nothing, and keep their attempts.
const REOPEN: Sql = sql!(
    "\
    UPDATE task SET state = CAST(moved.value->>1 AS BIGINT), \
                    waiting_count = CAST(moved.value->>2 AS BIGINT), \
                    attempts_max = CASE WHEN task.state < 8 THEN attempts_max \
                                        ELSE attempt + attempts_max - attempts_before END, \
                    attempts_before = CASE WHEN task.state < 8 THEN attempts_before \
                                           ELSE attempt END, \
                    host_losses = CASE WHEN task.state < 8 THEN host_losses ELSE 0 END, \
                    fault = NULL, cancel_at = NULL, ended_at = NULL \
    FROM ",
    ROWS,
    " AS moved WHERE task.id = CAST(moved.value->>0 AS BIGINT)"
);

const UNRESOLVE: Sql = sql!(
    "\
    UPDATE dependency SET outcome = NULL \
    WHERE dependency_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const REOPEN_JOB: &str = "\
    UPDATE job SET open_count = open_count + $2, state = $3, ended_at = NULL WHERE id = $1";

impl Write for Redrive {
    type Output = Redriven;

    const TURN: Turn = Turn::Cancel;

    fn is_change(redriven: &Redriven) -> bool {
        !redriven.tasks.is_empty()
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Redriven, StoreError> {
        let (job, now) = (self.job, self.now);
        let rows: Vec<(i64, i64, i64, bool)> = query(SHOW).bind(job.0).read_all(connection).await?;
        let tasks = self.stands(&rows)?;
        if !tasks.iter().any(|task| task.is_chosen) {
            return Ok(Redriven::default());
        }
        let edges = dependents::edges(connection, job, rows.iter().map(|row| row.0)).await?;
        let (mut redriven, mut moves, mut drafts) = (Redriven::default(), Vec::new(), Vec::new());
        for moved in redrive::redrive(&tasks, &edges, now) {
            let (task, state) = (TaskId(rows[moved.place].0), moved.state);
            moves.push((task.0, state.code(), moved.waiting));
            drafts.push(Draft::of_state(job, task, state, now));
            if moved.had_ended {
                redriven.tasks.push((task, state));
            }
        }
        if redriven.tasks.is_empty() {
            return Ok(redriven);
        }
        let again: Vec<i64> = redriven.tasks.iter().map(|(task, _)| task.0).collect();
        approvals::forget(connection, &again).await?;
        query(UNRESOLVE).bind(row::text(&again)?).execute(connection).await?;
        query(REOPEN).bind(row::text(&moves)?).execute(connection).await?;
        let has_started = rows.iter().any(|(.., has_started)| *has_started);
        let state = if has_started { JobState::Running } else { JobState::Pending };
        let count = row::count(again.len() as u64);
        let reopen = query(REOPEN_JOB).bind(job.0).bind(count).bind(state.name());
        reopen.execute(connection).await?;
        events::append(connection, drafts).await?;
        Ok(redriven)
    }
}

impl Redrive {
    fn stands(&self, rows: &[(i64, i64, i64, bool)]) -> Result<Vec<Stand>, StoreError> {
        let only: HashSet<i64> = self.choice.tasks.iter().map(|task| task.0).collect();
        let stand = |(id, state, run_at, _): &(i64, i64, i64, bool)| {
            let state = row::state_of(*state)?;
            let is_cancelled = state == TaskState::Cancelled && self.choice.with_cancelled;
            let is_named = only.is_empty() || only.contains(id);
            let is_chosen = is_named && (state == TaskState::Failed || is_cancelled);
            Ok(Stand { state, run_at: Timestamp::from_unix_ms(*run_at), is_chosen })
        };
        rows.iter().map(stand).collect()
    }
}
