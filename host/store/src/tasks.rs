//! Tasks, as they are read.
//!
//! It changes none: a claim, a settlement and a cancellation do.

use std::collections::HashMap;

use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Attempt, Task, TaskDependency};
use apflow_model::reference::Outcome;
use apflow_model::usage::Usage;

use crate::connection::{Query, Row, query};
use crate::error::StoreError;
use crate::store::Store;
use crate::{lanes, receipts, row};

/// How an attempt stands to its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It holds it.
    Held,
    /// It holds it, and shall end: somebody cancelled the task.
    Cancelled,
    /// It does not: it has ended, or another took the task over.
    Lost,
}

impl Store {
    /// Whether this attempt still holds its task: it has not ended, and no other took it over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn holds(&self, task: TaskId, attempt: u32) -> Result<Hold, StoreError> {
        const SQL: &str = "SELECT cancel_at IS NOT NULL FROM task \
                           WHERE id = $1 AND attempt = $2 AND state + 0 = 3";
        let held = query(SQL).bind(task.0).bind(attempt);
        let held: Option<(bool,)> = self.readers().read_optional(held).await?;
        Ok(match held {
            None => Hold::Lost,
            Some((false,)) => Hold::Held,
            Some((true,)) => Hold::Cancelled,
        })
    }

    /// What became of the tasks that `task` waits for, by the caller's references.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn dependency_outcomes(
        &self,
        task: TaskId,
    ) -> Result<HashMap<String, Outcome>, StoreError> {
        const SQL: &str = "SELECT upstream.reference, upstream.state, upstream.fault, \
                                  task_output.body \
                           FROM dependency \
                           JOIN task AS upstream ON upstream.id = dependency.dependency_id \
                           LEFT JOIN task_output ON task_output.task_id = upstream.id \
                           WHERE dependency.task_id = $1";
        let rows = self.readers().fetch_all(query(SQL).bind(task.0)).await?;
        let read = |row| {
            let state = row::state(row, "state")?;
            let (output, fault) =
                (row::perhaps_json(row, "body")?, row::perhaps_json(row, "fault")?);
            Ok((row::column(row, "reference")?, Outcome { state, output, fault }))
        };
        rows.iter().map(read).collect()
    }
}

const SHOW_TASKS: &str = "\
    SELECT task.*, task_output.body, lane.key, lane.key_max \
    FROM task JOIN lane ON lane.id = task.lane_id \
    LEFT JOIN task_output ON task_output.task_id = task.id \
    WHERE task.job_id = $1 ORDER BY task.id";

const SHOW_DEPENDENCIES: &str = "\
    SELECT dependency.task_id, dependency.dependency_id, dependency.required FROM task \
    JOIN dependency ON dependency.task_id = task.id \
    WHERE task.job_id = $1 ORDER BY dependency.task_id, dependency.dependency_id";

const SHOW_ATTEMPTS: &str = "\
    SELECT attempt.* FROM task JOIN attempt ON attempt.task_id = task.id \
    WHERE task.job_id = $1 ORDER BY attempt.task_id, attempt.n";

/// The tasks of a job in the order they were listed, their dependencies, their attempts, and the
/// models that they called.
pub(crate) fn of_job(job: JobId) -> [Query; 4] {
    let of_job = |sql: &'static str| query(sql).bind(job.0);
    let (tasks, edges) = (of_job(SHOW_TASKS), of_job(SHOW_DEPENDENCIES));
    [tasks, edges, of_job(SHOW_ATTEMPTS), receipts::of_job(job)]
}

/// Reads the rows of [`of_job`].
pub(crate) fn read_all(
    tasks: &[Row],
    edges: &[Row],
    attempts: &[Row],
    used: &[Row],
) -> Result<Vec<Task>, StoreError> {
    let mut tasks = tasks.iter().map(read_task).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<i64, usize> =
        tasks.iter().enumerate().map(|(place, task)| (task.id.0, place)).collect();
    let place = |row: &Row| {
        let id: i64 = row::column(row, "task_id")?;
        places
            .get(&id)
            .copied()
            .ok_or_else(|| StoreError::corrupt(format!("{} is gone", TaskId(id))))
    };
    for row in edges {
        let id = TaskId(row::column(row, "dependency_id")?);
        let dependency = TaskDependency { id, required: row::column(row, "required")? };
        tasks[place(row)?].dependencies.push(dependency);
    }
    for row in attempts {
        let attempt = read_attempt(row)?;
        let task = &mut tasks[place(row)?];
        task.usage = task.usage.and(attempt.usage.unwrap_or_default());
        task.attempts.push(attempt);
    }
    receipts::tell_all(&mut tasks, used)?;
    Ok(tasks)
}

/// Reads a row of `task` with the `body` of its output, without its dependencies and attempts.
pub(crate) fn read_task(row: &Row) -> Result<Task, StoreError> {
    Ok(Task {
        id: TaskId(row::column(row, "id")?),
        job_id: JobId(row::column(row, "job_id")?),
        reference: row::column(row, "reference")?,
        name: row::column(row, "name")?,
        executor: row::column(row, "executor")?,
        fallback_from: row::perhaps_json(row, "fallback_from")?.unwrap_or_default(),
        state: row::state(row, "state")?,
        parent: row::column::<Option<i64>>(row, "parent_id")?.map(TaskId),
        dependencies: Vec::new(),
        priority: row::number(row, "priority")?,
        run_at: row::moment(row, "run_at")?,
        deadline: row::perhaps_moment(row, "deadline")?,
        concurrency: lanes::key(row)?,
        created_at: row::moment(row, "created_at")?,
        started_at: row::perhaps_moment(row, "started_at")?,
        ended_at: row::perhaps_moment(row, "ended_at")?,
        cancel_at: row::perhaps_moment(row, "cancel_at")?,
        allow: row::perhaps_json(row, "allow")?,
        max_attempts: row::number(row, "attempts_max")?,
        held_by: None,
        parked_for: None,
        approvals: Vec::new(),
        models: Vec::new(),
        output: row::perhaps_json(row, "body")?,
        fault: row::perhaps_json(row, "fault")?,
        usage: Usage::default(),
        attempts: Vec::new(),
    })
}

pub(crate) fn read_attempt(row: &Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        n: row::number(row, "n")?,
        started_at: row::moment(row, "started_at")?,
        ended_at: row::perhaps_moment(row, "ended_at")?,
        fault: row::perhaps_json(row, "fault")?,
        usage: row::perhaps_json(row, "usage")?,
    })
}
