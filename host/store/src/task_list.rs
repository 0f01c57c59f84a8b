//! Finding and listing tasks, whichever job they are of.

use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId, first_id};
use apflow_model::job::{Task, TaskDependency, TaskSummary};
use apflow_model::state::TaskState;

use crate::approvals;
use crate::connection::{Query, Row, query};
use crate::error::StoreError;
use crate::receipts;
use crate::row;
use crate::store::Store;
use crate::tasks::{read_attempt, read_task};

/// The most tasks one page holds.
pub const TASKS_PER_PAGE_MAX: u32 = 1_000;

/// Which tasks to list. The default lists all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// In one of these states. Empty for any.
    pub states: Vec<TaskState>,
    /// Of this executor.
    pub executor: Option<String>,
    /// Of this tool. Tools and executors have one set of names.
    pub tool: Option<String>,
    /// Of a job that this principal submitted.
    pub principal: Option<String>,
    /// Of this job.
    pub job: Option<JobId>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
}

/// A page of tasks, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskSummary>,
    /// What to pass as `before` for the next page. None on the last one.
    pub next: Option<TaskId>,
}

impl Store {
    /// Lists the tasks older than `before` that pass `filter`, newest first; those of one job stand
    /// in the reverse of the order they were listed in.
    ///
    /// `limit` is brought into 1 to [`TASKS_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_tasks(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<TaskPage, StoreError> {
        let limit = limit.clamp(1, TASKS_PER_PAGE_MAX);
        let rows = self.readers().fetch_all(filter.query(before, limit + 1)).await?;
        let mut tasks = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = tasks.len() > wanted;
        tasks.truncate(wanted);
        let next = tasks.last().filter(|_| has_more).map(|task| task.id);
        Ok(TaskPage { tasks, next })
    }

    /// Finds a task with its dependencies, attempts, usage and output, all as of one moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        const FIND: &str = "SELECT task.*, task_output.body, lane.key, lane.key_max \
                            FROM task JOIN lane ON lane.id = task.lane_id \
                            LEFT JOIN task_output ON task_output.task_id = task.id \
                            WHERE task.id = $1";
        const DEPENDENCIES: &str = "SELECT dependency_id, required FROM dependency \
                                    WHERE task_id = $1 ORDER BY dependency_id";
        const ATTEMPTS: &str = "SELECT * FROM attempt WHERE task_id = $1 ORDER BY n";
        let mut snapshot = self.readers().snapshot().await?;
        let mut snapshot = snapshot.connection();
        let found = query(FIND).bind(id.0).fetch_optional(&mut snapshot).await?;
        let Some(found) = found else { return Ok(None) };
        let mut task = read_task(&found)?;
        let dependencies: Vec<(i64, bool)> =
            query(DEPENDENCIES).bind(id.0).read_all(&mut snapshot).await?;
        let dependency = |(id, required)| TaskDependency { id: TaskId(id), required };
        task.dependencies = dependencies.into_iter().map(dependency).collect();
        for row in query(ATTEMPTS).bind(id.0).fetch_all(&mut snapshot).await? {
            let attempt = read_attempt(&row)?;
            task.usage = task.usage.and(attempt.usage.unwrap_or_default());
            task.attempts.push(attempt);
        }
        approvals::of_task(&mut snapshot, &mut task).await?;
        receipts::of_task(&mut snapshot, &mut task).await?;
        Ok(Some(task))
    }
}

/// How far an id may be ahead of the moment it was made at, since the clock of a host was set back:
/// one day. Within this, no listing leaves a task out.
const AHEAD_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

impl TaskFilter {
    fn query(&self, before: Option<TaskId>, limit: u32) -> Query {
        let before = before.map_or(i64::MAX, |id| id.0);
        let mut sql = Query::build("SELECT task.* FROM ");
        // The ids of a job and of its tasks stand in a row: both orders are the same.
        if let Some(principal) = &self.principal {
            sql.push("job JOIN task ON task.job_id = job.id WHERE job.principal = ");
            sql.push_bind(principal.as_str()).push(" AND job.id < ").push_bind(before);
            sql.push(" AND task.id < ").push_bind(before);
        } else {
            sql.push("task WHERE task.id < ").push_bind(before);
        }
        if !self.states.is_empty() {
            let are_open = self.states.iter().all(|state| !state.is_end());
            let are_ends = self.states.iter().all(|state| state.is_end());
            // So that the database sees that an index suits.
            sql.push(if are_open { " AND task.state < 8" } else { "" });
            sql.push(if are_ends { " AND task.state >= 8" } else { "" });
            sql.push(" AND task.state IN (");
            for (place, state) in self.states.iter().enumerate() {
                sql.push(if place == 0 { "" } else { ", " }).push_bind(state.code());
            }
            sql.push(")");
        }
        for name in [&self.executor, &self.tool].into_iter().flatten() {
            sql.push(" AND task.executor = ").push_bind(name.as_str());
        }
        if let Some(job) = self.job {
            sql.push(" AND task.job_id = ").push_bind(job.0);
        }
        if let Some(since) = self.since {
            sql.push(" AND task.id >= ").push_bind(first_id(since));
            sql.push(" AND task.created_at >= ").push_bind(since.unix_ms());
        }
        if let Some(until) = self.until {
            let ahead = Timestamp::from_unix_ms(until.unix_ms().saturating_add(AHEAD_MS_MAX));
            sql.push(" AND task.id < ").push_bind(first_id(ahead));
            sql.push(" AND task.created_at < ").push_bind(until.unix_ms());
        }
        let by_job = self.principal.is_some();
        sql.push(if by_job {
            " ORDER BY job.id DESC, task.id DESC"
        } else {
            " ORDER BY task.id DESC"
        });
        sql.push(" LIMIT ").push_bind(limit);
        sql
    }
}

fn read(row: &Row) -> Result<TaskSummary, StoreError> {
    Ok(TaskSummary {
        id: TaskId(row::column(row, "id")?),
        job_id: JobId(row::column(row, "job_id")?),
        reference: row::column(row, "reference")?,
        name: row::column(row, "name")?,
        executor: row::column(row, "executor")?,
        state: row::state(row, "state")?,
        priority: row::number(row, "priority")?,
        attempt: row::number(row, "attempt")?,
        max_attempts: row::number(row, "attempts_max")?,
        run_at: row::moment(row, "run_at")?,
        created_at: row::moment(row, "created_at")?,
        started_at: row::perhaps_moment(row, "started_at")?,
        ended_at: row::perhaps_moment(row, "ended_at")?,
        cancel_at: row::perhaps_moment(row, "cancel_at")?,
        fault: row::perhaps_json(row, "fault")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    /// How the database goes about a list, step by step.
    async fn plan(filter: &TaskFilter) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let explained = filter.query(Some(TaskId(1 << 40)), 20).explained();
        let rows = store.readers().fetch_all(explained).await.unwrap();
        rows.iter().map(|row| row::column(row, "detail").unwrap()).collect()
    }

    #[tokio::test]
    async fn every_list_is_read_off_an_index_in_order() {
        let all = TaskFilter::default;
        let (open, failed) = (vec![TaskState::Blocked, TaskState::Ready], vec![TaskState::Failed]);
        for (filter, index) in [
            (all(), "PRIMARY KEY"),
            (TaskFilter { states: open, ..all() }, "task_open"),
            (TaskFilter { states: failed, ..all() }, "task_ended"),
            (TaskFilter { executor: Some("x".into()), ..all() }, "task_by_executor"),
            (TaskFilter { principal: Some("ada".into()), ..all() }, "job_by_principal"),
            (TaskFilter { job: Some(JobId(1)), ..all() }, "task_by_job"),
            (TaskFilter { since: Some(Timestamp::from_unix_ms(5)), ..all() }, "PRIMARY KEY"),
        ] {
            let steps = plan(&filter).await;
            assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:?}");
            let is_slow = |step: &String| step.contains("SCAN") || step.contains("ORDER BY");
            assert!(!steps.iter().any(is_slow), "{steps:?}");
        }
    }
}
