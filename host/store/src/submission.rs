//! Jobs: submitting them.
//!
//! It does not check a submission: a [`JobSpec`](apflow_model::job::JobSpec) exists only when it holds no fault.

use std::collections::{BTreeSet, HashMap};

use apflow_model::clock::Timestamp;
use apflow_model::concurrency::Admission;
use apflow_model::file;
use apflow_model::id::JobId;
use apflow_model::job::{Attempt, Job, Task, TaskSpec};
use serde_json::{Value, json};
use tracing::field::display;

use crate::admission::{self, Newcomer};
use crate::budgets;
use crate::chain;
use crate::connection::{Connection, Query, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::idempotency::{self, Once, Wanted};
use crate::lanes;
use crate::plan::{self, NewJob};
use crate::row;
use crate::sessions::{self, SessionId};
use crate::settle::INSERT_OUTPUTS;
use crate::store::Store;
use crate::uploads;
use crate::write::{Answers, Turn, WriteGroup};

/// What became of a submission with a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// It is stored, as this job.
    New(Job),
    /// It was stored before, as this job.
    Replayed(JobId),
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
        let stored = self.write(rows).await?;
        Ok(stored.earlier.map_or(Submitted::New(job), Submitted::Replayed))
    }

    /// Plans a job, and the rows that store it.
    pub(crate) async fn plan(
        &self,
        new: &NewJob,
        now: Timestamp,
    ) -> Result<(Job, Submit), StoreError> {
        let lanes = self.lanes(new).await?;
        let job = self.name_job(new, now)?;
        let first = plan::first_events(&job);
        let rows = Submit::new(new, &job, &lanes, first, None, self.admission())?;
        Ok((job, rows))
    }

    /// Plans a job, which has its id from then on.
    pub(crate) fn name_job(&self, new: &NewJob, now: Timestamp) -> Result<Job, StoreError> {
        let ids = self.ids(now, new.spec.tasks.len() + 1);
        let job = plan::plan(new, &ids, now)?;
        chain::name_target(job.id);
        // Before it is stored: an attempt looks up its trace by the job, and may begin as soon.
        tracing::Span::current().record("job", display(job.id));
        Ok(job)
    }

    /// The lanes of the tasks of a job, in their order.
    ///
    /// New ones are made, in a commit of their own. They stay, so the next jobs do without it.
    pub(crate) async fn lanes(&self, job: &NewJob) -> Result<Vec<i64>, StoreError> {
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
}

/// The rows of a job, as the items of JSON arrays: made before the writer is asked, so that it
/// has little to do, and can store many jobs at once.
pub(crate) struct Submit {
    /// Whether it is on the disk once it is answered.
    pub(crate) is_synced: bool,
    /// None for a job without a key.
    pub(crate) wanted: Option<Wanted>,
    newcomer: Newcomer,
    /// Who runs its tasks already, and since when.
    session: Option<(SessionId, Timestamp)>,
    job: String,
    tasks: String,
    inputs: String,
    dependencies: String,
    uploads: String,
    budgets: String,
    attempts: String,
    outputs: String,
    events: String,
}

impl Submit {
    /// The rows of a job that was planned, with what happened in it so far. `lanes` are those of its
    /// tasks, and `session` is whose attempts they have.
    pub(crate) fn new(
        new: &NewJob,
        job: &Job,
        lanes: &[i64],
        events: Vec<Draft>,
        session: Option<SessionId>,
        admission: Admission,
    ) -> Result<Self, StoreError> {
        let now = job.created_at;
        let pairs = || job.tasks.iter().zip(&new.spec.tasks);
        let edges = job.tasks.iter().flat_map(|task| {
            task.dependencies.iter().map(|edge| Ok((edge.id.0, task.id.0, edge.required)))
        });
        let uploads = pairs().flat_map(|(task, spec)| {
            let named = file::find(&spec.inputs).unwrap_or_default();
            let named: BTreeSet<i64> = named.into_iter().map(|named| named.file.0).collect();
            named.into_iter().map(|upload| Ok((task.id.0, upload, now.unix_ms())))
        });
        let attempts = job.tasks.iter().flat_map(|task| {
            task.attempts.iter().map(move |attempt| attempt_row(task, attempt, session))
        });
        let output = |task: &Task| Some((task.id.0, task.output.as_ref()?.to_string()));
        let outputs = job.tasks.iter().filter_map(output).map(Ok);
        let open = job.tasks.iter().filter(|task| !task.state.is_end()).count() as u64;
        let session = session.filter(|_| open > 0).map(|session| (session, now));
        let newcomer = Newcomer { admission, principal: job.principal.clone(), tasks: open };
        let events: Vec<_> = (1..).zip(events).collect();
        Ok(Self {
            is_synced: true,
            wanted: None,
            newcomer,
            session,
            job: row::text(&job_row(new, job, open, events.len())?)?,
            tasks: row::items(
                pairs().zip(lanes).map(|((task, spec), lane)| task_row(task, spec, *lane, session)),
            )?,
            inputs: row::items(
                pairs().map(|(task, spec)| Ok((task.id.0, row::text(&spec.inputs)?))),
            )?,
            dependencies: row::items(edges)?,
            uploads: row::items(uploads)?,
            budgets: budgets::items(job.id, &job.tasks, &new.spec, now)?,
            attempts: row::items(attempts)?,
            outputs: row::items(outputs)?,
            events: events::items(&events)?,
        })
    }
}

/// The columns of [`INSERT_JOBS`], in its order.
fn job_row(new: &NewJob, job: &Job, open: u64, events: usize) -> Result<Value, StoreError> {
    let hops = Some(&job.hops).filter(|hops| !hops.is_empty()).map(ToString::to_string);
    Ok(json!([
        job.id.0,
        job.name,
        job.principal,
        job.state.name(),
        row::text(&new.grants)?,
        job.task_count,
        open,
        events,
        job.created_at.unix_ms(),
        job.ended_at.map(Timestamp::unix_ms),
        hops,
        new.spec.role,
    ]))
}

/// The columns of [`INSERT_ATTEMPTS`], in its order.
fn attempt_row(
    task: &Task,
    attempt: &Attempt,
    session: Option<SessionId>,
) -> Result<Value, StoreError> {
    let (started_at, ended_at) = (attempt.started_at.unix_ms(), attempt.ended_at);
    let usage = attempt.usage.as_ref().map(row::text).transpose()?;
    let ended_at = ended_at.map(Timestamp::unix_ms);
    let session = session.map(|session| session.0);
    Ok(json!([task.id.0, attempt.n, session, started_at, ended_at, usage, task.executor]))
}

/// The columns of [`INSERT_TASKS`], in its order.
fn task_row(
    task: &Task,
    spec: &TaskSpec,
    lane: i64,
    session: Option<(SessionId, Timestamp)>,
) -> Result<Value, StoreError> {
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
        task.attempts.len(),
        session.map(|(session, _)| session.0),
        task.started_at.map(Timestamp::unix_ms),
        task.ended_at.map(Timestamp::unix_ms),
    ]))
}

const INSERT_JOBS: Sql = sql!(
    "\
    INSERT INTO job (id, name, principal, state, grants, task_count, open_count, event_count, \
                     created_at, ended_at, hops, role) \
    SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, value->>3, value->>4, \
           CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), \
           CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT), \
           CAST(value->>9 AS BIGINT), value->>10, value->>11 FROM ",
    EACH
);

const INSERT_TASKS: Sql = sql!(
    "\
    INSERT INTO task (id, job_id, reference, name, executor, state, parent_id, priority, run_at, \
                      timeout_ms, token_budget, model, backoff, attempts_max, waiting_count, \
                      created_at, allow, deadline, lane_id, uses_cache, needs_approval, cost_policy, \
                      attempt, session_id, started_at, ended_at) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, value->>3, \
           value->>4, CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), \
           CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT), \
           CAST(value->>9 AS BIGINT), CAST(value->>10 AS BIGINT), value->>11, \
           value->>12, CAST(value->>13 AS BIGINT), CAST(value->>14 AS BIGINT), \
           CAST(value->>15 AS BIGINT), value->>16, CAST(value->>17 AS BIGINT), \
           CAST(value->>18 AS BIGINT), CAST(value->>19 AS BOOLEAN), \
           CAST(value->>20 AS BOOLEAN), value->>21, CAST(value->>22 AS BIGINT), \
           CAST(value->>23 AS BIGINT), CAST(value->>24 AS BIGINT), \
           CAST(value->>25 AS BIGINT) FROM ",
    EACH
);

const INSERT_INPUTS: Sql = sql!(
    "INSERT INTO task_input (task_id, body) SELECT CAST(value->>0 AS BIGINT), value->>1 FROM ",
    EACH
);

const INSERT_ATTEMPTS: Sql = sql!(
    "\
    INSERT INTO attempt (task_id, n, session_id, started_at, ended_at, usage, component_id) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
           CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT), value->>5, \
           (SELECT component.id FROM plugin JOIN component ON component.digest = plugin.digest \
            WHERE plugin.name = value->>6) FROM ",
    EACH
);

const INSERT_DEPENDENCIES: Sql = sql!(
    "\
    INSERT INTO dependency (dependency_id, task_id, required) \
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), \
           CAST(value->>2 AS BOOLEAN) FROM ",
    ROWS,
    " AS given"
);

/// What became of a submission.
pub(crate) struct Stored {
    /// The job that is stored already under its key. None when this one was stored.
    pub(crate) earlier: Option<JobId>,
    /// Whether it has tasks that somebody may claim, now or later.
    is_work: bool,
}

/// Which of these jobs are taken in: not what is too much beside all that is open, nor what runs in
/// a session that was lost.
async fn admit(
    writes: &[Submit],
    connection: &mut Connection<'_>,
) -> Result<Answers<()>, StoreError> {
    let newcomers: Vec<_> = writes.iter().map(|rows| &rows.newcomer).collect();
    if newcomers.iter().all(|new| new.tasks == 0) {
        return Ok(newcomers.iter().map(|_| Ok(())).collect());
    }
    let mut sessions = HashMap::new();
    for (session, now) in writes.iter().filter_map(|rows| rows.session) {
        let latest = sessions.entry(session).or_insert(now);
        *latest = now.max(*latest);
    }
    let asked = [admission::ask(&newcomers), sessions::ask_held(&sessions)?];
    let [open, held] = Query::fetch_each(asked, connection).await?;
    let (mut admitted, held) = (admission::admit(&newcomers, &open)?, sessions::read_held(&held)?);
    for (rows, admitted) in writes.iter().zip(&mut admitted) {
        if rows.session.is_some_and(|(session, _)| !held.contains(&session)) {
            *admitted = Err(StoreError::SessionLost);
        }
    }
    Ok(admitted)
}

impl WriteGroup for Submit {
    type Output = Stored;

    const TURN: Turn = Turn::Submit;

    fn is_change(stored: &Stored) -> bool {
        stored.earlier.is_none()
    }

    fn makes_work(stored: &Stored) -> bool {
        stored.earlier.is_none() && stored.is_work
    }

    fn is_synced(&self) -> bool {
        self.is_synced
    }

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<Stored>, StoreError> {
        let admitted = admit(writes, connection).await?;
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
            (INSERT_ATTEMPTS, array(|rows| &rows.attempts)),
            (INSERT_OUTPUTS, array(|rows| &rows.outputs)),
            (events::INSERT, array(|rows| &rows.events)),
        ];
        for (sql, rows) in inserts {
            if let Some(rows) = rows {
                query(sql).bind(rows).later(connection).await?;
            }
        }
        let stored = writes.iter().zip(answers).map(|(rows, answer)| {
            let is_work = rows.newcomer.tasks > 0 && rows.session.is_none();
            answer.map(|earlier| Stored { earlier, is_work })
        });
        Ok(stored.collect())
    }
}
