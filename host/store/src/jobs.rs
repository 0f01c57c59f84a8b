//! Jobs: finding and listing them.

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::job::{Job, Origin};
use apflow_model::state::JobState;

use crate::approvals;
use crate::breakers;
use crate::connection::{Query, Row, query};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::tasks;

/// The most jobs one page holds.
pub const JOBS_PER_PAGE_MAX: u32 = 1_000;

/// Which jobs to list. The default lists all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// In one of these states. Empty for any.
    pub states: Vec<JobState>,
    /// With at least one task of this executor.
    pub executor: Option<String>,
    /// With at least one task of this tool. Tools and executors have one set of names.
    pub tool: Option<String>,
    /// Submitted by this principal.
    pub principal: Option<String>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// The jobs, without their tasks.
    pub jobs: Vec<Job>,
    /// What to pass as `before` for the next page. None on the last one.
    pub next: Option<JobId>,
}

impl Store {
    /// Finds a job with its tasks, their attempts, usage and outputs, all as of one moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        // One read transaction: a settlement in between would show a task's end without its
        // job's.
        let find = query("SELECT * FROM job WHERE id = $1 AND purged_at IS NULL").bind(id.0);
        let [tasks, edges, tries, used] = tasks::of_job(id);
        let all =
            [find, tasks, edges, tries, used, approvals::of_job(id), breakers::of_executors()];
        let [found, tasks, edges, tries, used, asked, held] =
            self.readers().fetch_each(all).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let mut job = read(found)?;
        job.tasks = tasks::read_all(&tasks, &edges, &tries, &used)?;
        approvals::tell_all(&mut job.tasks, &asked)?;
        breakers::explain(&mut job.tasks, &held)?;
        Ok(Some(job))
    }

    /// Where a job stands: one short row, however many tasks it has. None when there is no such job.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn job_state(&self, id: JobId) -> Result<Option<JobState>, StoreError> {
        const SQL: &str = "SELECT state FROM job WHERE id = $1 AND purged_at IS NULL";
        let found: Option<(String,)> = self.readers().read_optional(query(SQL).bind(id.0)).await?;
        found.map(|(state,)| state.parse().map_err(StoreError::corrupt)).transpose()
    }

    /// Lists the jobs older than `before` that pass `filter`, newest first.
    ///
    /// `limit` is brought into 1 to [`JOBS_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_jobs(
        &self,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        let limit = limit.clamp(1, JOBS_PER_PAGE_MAX);
        let rows = self.readers().fetch_all(filter.query(before, limit + 1)).await?;
        let mut jobs = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = jobs.len() > wanted;
        jobs.truncate(wanted);
        let next = jobs.last().filter(|_| has_more).map(|job| job.id);
        Ok(JobPage { jobs, next })
    }
}

impl JobFilter {
    fn query(&self, before: Option<JobId>, limit: u32) -> Query {
        let mut sql = Query::build("SELECT * FROM job WHERE purged_at IS NULL AND id < ");
        sql.push_bind(before.map_or(i64::MAX, |id| id.0));
        if !self.states.is_empty() {
            sql.push(" AND state IN (");
            for (place, state) in self.states.iter().enumerate() {
                sql.push(if place == 0 { "" } else { ", " }).push_bind(state.name());
            }
            sql.push(")");
        }
        if let Some(principal) = &self.principal {
            sql.push(" AND principal = ").push_bind(principal.as_str());
        }
        if let Some(since) = self.since {
            sql.push(" AND created_at >= ").push_bind(since.unix_ms());
        }
        if let Some(until) = self.until {
            sql.push(" AND created_at < ").push_bind(until.unix_ms());
        }
        for name in [&self.executor, &self.tool].into_iter().flatten() {
            sql.push(" AND EXISTS (SELECT 1 FROM task WHERE job_id = job.id AND executor = ")
                .push_bind(name.as_str())
                .push(")");
        }
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
        sql
    }
}

fn read(row: &Row) -> Result<Job, StoreError> {
    let schedule: Option<String> = row::column(row, "schedule")?;
    let tick = row::perhaps_moment(row, "tick_at")?;
    Ok(Job {
        id: JobId(row::column(row, "id")?),
        name: row::column(row, "name")?,
        state: row::column::<&str>(row, "state")?.parse().map_err(StoreError::corrupt)?,
        principal: row::column(row, "principal")?,
        created_at: row::moment(row, "created_at")?,
        ended_at: row::perhaps_moment(row, "ended_at")?,
        origin: schedule.zip(tick).map(|(schedule, tick)| Origin { schedule, tick }),
        hops: row::hops(row, "hops")?,
        task_count: row::number(row, "task_count")?,
        tasks: Vec::new(),
    })
}
