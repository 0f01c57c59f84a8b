//! Jobs: submitting, finding and listing them.
//!
//! It does not check a submission: a [`JobSpec`] exists only when it holds no fault.

use std::collections::BTreeSet;

use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::concurrency::Admission;
use apflow_model::file;
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::{Job, JobSpec, Origin, Task, TaskDependency, TaskSpec};
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use serde_json::{Value, json};
use tracing::field::display;

use crate::admission::{self, Newcomer};
use crate::approvals;
use crate::breakers;
use crate::budgets;
use crate::chain;
use crate::connection::{Connection, Query, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::idempotency::{self, Once, Wanted};
use crate::lanes;
use crate::row;
use crate::store::Store;
use crate::tasks;
use crate::uploads;
use crate::write::{Answers, Turn, WriteGroup};

/// The most jobs one page holds.
pub const JOBS_PER_PAGE_MAX: u32 = 1_000;

/// A job to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What was submitted.
    pub spec: JobSpec,
    /// Who submitted it.
    pub principal: String,
    /// What the operator allows this job alone, beside what its plugins are granted.
    pub grants: Vec<Grant>,
}

/// What became of a submission with a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// It is stored, as this job.
    New(Job),
    /// It was stored before, as this job.
    Replayed(JobId),
}

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
    /// Stores a job: itself, its tasks, their dependencies and first events, all or nothing.
    ///
    /// A task is `blocked` when it has dependencies, `scheduled` when its `run_at` is later than
    /// `now`, and else `ready`. When this returns, the job survives a crash.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`], [`StoreError::TooManyTasks`] when fewer may be
    /// [open](Store::admitting) than would be, and [`StoreError::Database`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn submit(&self, job: NewJob, now: Timestamp) -> Result<Job, StoreError> {
        let (job, rows) = self.plan(&job, now).await?;
        self.write(rows).await?;
        Ok(job)
    }

    /// Stores a job as [`Store::submit`] does, unless its key stands for one already.
    ///
    /// The key and the job are stored in one transaction, and a crash leaves both or neither. So of
    /// any number of submissions with one key, at once or one after the other, one is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError::IdempotencyConflict`] when the key stands for another submission,
    /// and what [`Store::submit`] says; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::submit`].
    pub async fn submit_once(
        &self,
        job: NewJob,
        once: Once,
        now: Timestamp,
    ) -> Result<Submitted, StoreError> {
        let (job, mut rows) = self.plan(&job, now).await?;
        let principal = job.principal.clone();
        rows.wanted = Some(Wanted { principal, once, job: job.id, now });
        let earlier = self.write(rows).await?;
        Ok(earlier.map_or(Submitted::New(job), Submitted::Replayed))
    }

    /// Plans a job, and the rows that store it.
    pub(crate) async fn plan(
        &self,
        new: &NewJob,
        now: Timestamp,
    ) -> Result<(Job, Submit), StoreError> {
        let lanes = self.lanes(new).await?;
        let ids = self.ids(now, new.spec.tasks.len() + 1);
        let id = JobId(ids[0]);
        chain::name_target(id);
        // Before it is stored: an attempt looks up its trace by the job, and may begin as soon.
        tracing::Span::current().record("job", display(id));
        plan(new, &ids, &lanes, now, self.admission())
    }

    /// The lanes of the tasks of a job, in their order.
    ///
    /// New ones are made, in a commit of their own. They stay, so the next jobs do without it.
    async fn lanes(&self, job: &NewJob) -> Result<Vec<i64>, StoreError> {
        let names = job.spec.tasks.iter().map(|task| lanes::name(&job.principal, task));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let mut known = self.known_lanes().find(&names);
        let new: BTreeSet<_> = names.iter().filter(|name| !known.contains_key(*name)).collect();
        if !new.is_empty() {
            let made = self.write(lanes::Make(new.into_iter().cloned().collect())).await?;
            self.known_lanes().learn(&made);
            known.extend(made);
        }
        let lane = |name| known.get(name).copied().ok_or_else(|| StoreError::corrupt("no lane"));
        names.iter().map(lane).collect()
    }

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

/// The rows of a job, as the items of JSON arrays: made before the writer is asked, so that it
/// has little to do, and can store many jobs at once.
pub(crate) struct Submit {
    /// None for a job without a key.
    /// Whether it is on the disk once it is answered.
    pub(crate) is_synced: bool,
    wanted: Option<Wanted>,
    newcomer: Newcomer,
    job: String,
    tasks: String,
    inputs: String,
    dependencies: String,
    uploads: String,
    budgets: String,
    events: String,
}

/// Plans a job and its rows. `ids` are the job's and then its tasks', and `lanes` are its tasks'.
fn plan(
    new: &NewJob,
    ids: &[i64],
    lanes: &[i64],
    now: Timestamp,
    admission: Admission,
) -> Result<(Job, Submit), StoreError> {
    let (id, ids) = ids.split_first().ok_or_else(|| StoreError::corrupt("a job has no id"))?;
    let id = JobId(*id);
    let specs = &new.spec.tasks;
    let tasks: Vec<Task> =
        specs.iter().zip(ids).map(|(spec, own)| plan_task(id, *own, spec, ids, now)).collect();
    let pairs = || tasks.iter().zip(specs);
    let edges = tasks.iter().flat_map(|task| {
        task.dependencies.iter().map(|edge| Ok((edge.id.0, task.id.0, edge.required)))
    });
    let uploads = pairs().flat_map(|(task, spec)| {
        let named = file::find(&spec.inputs).unwrap_or_default();
        let named: BTreeSet<i64> = named.into_iter().map(|named| named.file.0).collect();
        named.into_iter().map(|upload| Ok((task.id.0, upload, now.unix_ms())))
    });
    let first_state = |task: &Task| Draft::of_state(id, task.id, task.state, now);
    let events: Vec<_> = (1..).zip(tasks.iter().map(first_state)).collect();
    let count = tasks.len();
    let (name, state) = (&new.spec.name, JobState::Pending);
    let hops = Some(&new.spec.hops).filter(|hops| !hops.is_empty()).map(ToString::to_string);
    let grants = row::text(&new.grants)?;
    let role = &new.spec.role;
    let job = (id.0, name, &new.principal, state.name(), grants, count, now.unix_ms(), hops, role);
    let principal = new.principal.clone();
    let rows = Submit {
        is_synced: true,
        wanted: None,
        newcomer: Newcomer { admission, principal, tasks: count as u64 },
        job: row::text(&job)?,
        tasks: row::items(
            pairs().zip(lanes).map(|((task, spec), lane)| task_row(task, spec, *lane)),
        )?,
        inputs: row::items(pairs().map(|(task, spec)| Ok((task.id.0, row::text(&spec.inputs)?))))?,
        dependencies: row::items(edges)?,
        uploads: row::items(uploads)?,
        budgets: budgets::items(id, &tasks, &new.spec, now)?,
        events: events::items(&events)?,
    };
    let job = Job {
        id,
        name: name.clone(),
        state,
        principal: new.principal.clone(),
        created_at: now,
        ended_at: None,
        origin: None,
        hops: new.spec.hops.clone(),
        task_count: count as u64,
        tasks,
    };
    Ok((job, rows))
}

fn plan_task(job: JobId, id: i64, spec: &TaskSpec, ids: &[i64], now: Timestamp) -> Task {
    let mut dependencies: Vec<_> = spec
        .dependencies
        .iter()
        .map(|edge| TaskDependency { id: TaskId(ids[edge.task]), required: edge.required })
        .collect();
    // As they are read back.
    dependencies.sort_by_key(|edge| edge.id);
    let run_at = spec.run_at.unwrap_or(now);
    let state = if !dependencies.is_empty() {
        TaskState::Blocked
    } else if run_at > now {
        TaskState::Scheduled
    } else {
        TaskState::Ready
    };
    Task {
        id: TaskId(id),
        job_id: job,
        reference: spec.reference.clone(),
        name: spec.name.clone(),
        executor: spec.executor.clone(),
        fallback_from: Vec::new(),
        state,
        parent: spec.parent.map(|place| TaskId(ids[place])),
        dependencies,
        priority: spec.priority,
        run_at,
        deadline: spec.deadline,
        concurrency: spec.concurrency.clone(),
        created_at: now,
        started_at: None,
        ended_at: None,
        cancel_at: None,
        allow: spec.allow.clone(),
        max_attempts: spec.attempts_max,
        held_by: None,
        parked_for: None,
        approvals: Vec::new(),
        models: Vec::new(),
        output: None,
        fault: None,
        usage: Usage::default(),
        attempts: Vec::new(),
    }
}

/// The columns of `INSERT_TASKS`, in its order.
fn task_row(task: &Task, spec: &TaskSpec, lane: i64) -> Result<Value, StoreError> {
    let timeout_ms =
        spec.timeout.map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).max(1));
    Ok(json!([
        task.id.0,
        task.job_id.0,
        task.reference,
        task.name,
        task.executor,
        task.state.code(),
        task.parent.map(|parent| parent.0),
        task.priority,
        task.run_at.unix_ms(),
        timeout_ms,
        spec.token_budget.map(row::count),
        spec.model,
        row::text(&spec.backoff)?,
        task.max_attempts,
        task.dependencies.len(),
        task.created_at.unix_ms(),
        spec.allow.as_ref().map(row::text).transpose()?,
        spec.deadline.map(Timestamp::unix_ms),
        lane,
        spec.uses_cache,
        spec.needs_approval,
        spec.cost_policy,
    ]))
}

const INSERT_JOBS: Sql = sql!(
    "\
    INSERT INTO job (id, name, principal, state, grants, task_count, open_count, event_count, \
                     created_at, hops, role) \
    SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, value->>3, value->>4, \
           CAST(value->>5 AS BIGINT), CAST(value->>5 AS BIGINT), \
           CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), value->>7, value->>8 FROM ",
    ROWS
);

const INSERT_TASKS: Sql = sql!(
    "\
    INSERT INTO task (id, job_id, reference, name, executor, state, parent_id, priority, run_at, \
                      timeout_ms, token_budget, model, backoff, attempts_max, waiting_count, \
                      created_at, allow, deadline, lane_id, uses_cache, needs_approval, cost_policy) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, value->>3, \
           value->>4, CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), \
           CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT), \
           CAST(value->>9 AS BIGINT), CAST(value->>10 AS BIGINT), value->>11, \
           value->>12, CAST(value->>13 AS BIGINT), CAST(value->>14 AS BIGINT), \
           CAST(value->>15 AS BIGINT), value->>16, CAST(value->>17 AS BIGINT), \
           CAST(value->>18 AS BIGINT), CAST(value->>19 AS BOOLEAN), \
           CAST(value->>20 AS BOOLEAN), value->>21 FROM ",
    ROWS
);

const INSERT_INPUTS: Sql = sql!(
    "INSERT INTO task_input (task_id, body) SELECT CAST(value->>0 AS BIGINT), value->>1 FROM ",
    ROWS
);

const INSERT_DEPENDENCIES: Sql = sql!(
    "\
    INSERT INTO dependency (dependency_id, task_id, required) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), \
           CAST(value->>2 AS BOOLEAN) FROM ",
    ROWS
);

impl WriteGroup for Submit {
    /// The job that is stored already under its key. None when this one was stored.
    type Output = Option<JobId>;

    const TURN: Turn = Turn::Submit;

    fn is_change(earlier: &Option<JobId>) -> bool {
        earlier.is_none()
    }

    fn is_synced(&self) -> bool {
        self.is_synced
    }

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<Option<JobId>>, StoreError> {
        let newcomers: Vec<_> = writes.iter().map(|rows| &rows.newcomer).collect();
        let admitted = admission::admit(connection, &newcomers).await?;
        // Only who is admitted takes a key.
        let wanted: Vec<_> = writes
            .iter()
            .zip(&admitted)
            .map(|(rows, admitted)| rows.wanted.as_ref().filter(|_| admitted.is_ok()))
            .collect();
        let taken = idempotency::take(connection, &wanted).await?;
        let answers: Vec<_> =
            admitted.into_iter().zip(taken).map(|(admitted, taken)| admitted.and(taken)).collect();
        let is_new = |(_, answer): &(_, &Result<_, _>)| matches!(answer, Ok(None));
        let new: Vec<_> =
            writes.iter().zip(&answers).filter(is_new).map(|(rows, _)| rows).collect();
        let array = |of: fn(&Self) -> &str| row::array(new.iter().map(|rows| of(rows)));
        let named = array(|rows| &rows.uploads);
        let inserts = [
            (INSERT_JOBS, array(|rows| &rows.job)),
            (INSERT_TASKS, array(|rows| &rows.tasks)),
            (INSERT_INPUTS, array(|rows| &rows.inputs)),
            (INSERT_DEPENDENCIES, array(|rows| &rows.dependencies)),
            (uploads::NAME, named.clone()),
            (uploads::USE, named),
            (budgets::INSERT, array(|rows| &rows.budgets)),
            (events::INSERT, array(|rows| &rows.events)),
        ];
        for (sql, rows) in inserts {
            if let Some(rows) = rows {
                query(sql).bind(rows).later(connection).await?;
            }
        }
        Ok(answers)
    }
}
