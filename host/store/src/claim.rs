//! The claim: which tasks come next, and what they are handed.
//!
//! It does not decide whether a claimed task may run: the engine admits it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::fair::{Division, Limits};
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::hops::Hops;
use apflow_model::id::{JobId, TaskId};
use apflow_model::retry::Backoff;
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::approvals;
use crate::attempts::{End, Ending};
use crate::batch::Batch;
use crate::breakers;
use crate::connection::{Connection, Row, query};
use crate::deadlines::{self, Expired};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::lanes::{self, Round, Rounds};
use crate::row;
use crate::sessions::SessionId;
use crate::store::Store;
use crate::tool_rules::{self, Heeded};
use crate::write::{Turn, Write};

/// The most scheduled tasks that one claim makes ready. A claim that leaves some behind makes
/// [`Store::next_run_at`] a moment in the past, so the next one comes at once.
pub const PROMOTED_PER_CLAIM_MAX: u32 = 1_000;

/// The most tasks that one claim parks. What is left waits for the next.
pub const PARKED_PER_CLAIM_MAX: usize = 1_000;

/// A task that was handed out to run, with all that an attempt needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job it belongs to.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The number of this attempt, from 1: the fencing token of its writes.
    pub attempt: u32,
    /// The caller's reference to the task.
    pub reference: String,
    /// The plugin that runs it.
    pub executor: String,
    /// Who submitted the job.
    pub principal: String,
    /// Its input, with `$from` references still in it.
    pub inputs: Value,
    /// The longest this attempt may run, as the caller said.
    pub timeout: Option<Duration>,
    /// The task fails unless it has ended before this moment.
    pub deadline: Option<Timestamp>,
    /// How often it is tried at most, those attempts included that count no more.
    pub attempts_max: u32,
    /// How many of its attempts count no more.
    pub attempts_before: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// How many model tokens all its attempts may spend together.
    pub token_budget: Option<u64>,
    /// The model it asks for.
    pub model: Option<String>,
    /// What the operator allows this job alone, beside what the plugin is granted.
    pub grants: Vec<Grant>,
    /// Whether it waited for other tasks.
    pub has_dependencies: bool,
    /// What the task keeps of both. None for all of it.
    pub allow: Option<Vec<Grant>>,
    /// Whether a result of its tool that is kept may be given again, and its own is kept.
    pub uses_cache: bool,
    /// What its earlier attempts used together.
    pub used: Usage,
    /// The hosts that the job came through.
    pub hops: Hops,
}

/// What a claim handed out, and what it ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HandedOut {
    /// The tasks that run now, those with the first turns first.
    pub tasks: Vec<Claimed>,
    /// The tasks whose deadlines passed while they waited, in the order of their submission.
    pub expired: Vec<Expired>,
    /// The jobs of tasks that were parked, since somebody must approve them.
    pub parked: BTreeSet<JobId>,
    /// The jobs that ended by that, and by tasks that could not be read.
    pub jobs_ended: Vec<(JobId, JobState)>,
}

impl Store {
    /// Hands out up to `free` ready tasks, as far as `limits` allow: fairly between principals, and
    /// within each the most urgent first and then the oldest, as [`apflow_model::fair`] says.
    ///
    /// Each becomes `running` with the next attempt number, durable when this returns: a crash in
    /// the guest still uses up an attempt. First, waiting tasks fail whose deadlines have passed, and
    /// scheduled ones that are due become ready. A task that cannot be read is logged and has failed,
    /// with the fault `permanent`; the others are handed out.
    ///
    /// What runs is counted in the same transaction, so limits hold for all processes together.
    ///
    /// # Errors
    ///
    /// [`StoreError::SessionLost`] when the lease of the session has ended,
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is handed out then. After
    /// [`StoreError::Unavailable`] it may have been, with nobody to run it: see
    /// [`Store::give_back_all_but`].
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped after the commit, the tasks run for nobody until they are given back.
    pub async fn claim(
        &self,
        session: SessionId,
        now: Timestamp,
        free: u32,
        limits: Limits,
    ) -> Result<HandedOut, StoreError> {
        let mut handed_out = HandedOut::default();
        loop {
            let got = u32::try_from(handed_out.tasks.len()).unwrap_or(u32::MAX);
            let (free, limits) = (free.saturating_sub(got), limits.clone());
            let rounds = Arc::clone(self.rounds());
            let taken = self.write(Claim { session, now, free, limits, rounds }).await?;
            handed_out.expired.extend(taken.expired);
            handed_out.jobs_ended.extend(taken.jobs_ended);
            handed_out.parked.extend(taken.parked);
            let mut is_all_read = true;
            for taken in taken.tasks {
                match taken.read() {
                    Ok(task) => handed_out.tasks.push(task),
                    Err(error) => {
                        is_all_read = false;
                        let settled = self.write(give_up(&taken, now, &error)).await?;
                        let ended = settled.job_ended.map(|end| (settled.job, end));
                        handed_out.jobs_ended.extend(ended);
                    }
                }
            }
            // Else once more: there is room left, and the ends may have made other tasks ready.
            if is_all_read {
                return Ok(handed_out);
            }
        }
    }

    /// When a claim next has something to do that only the time brings, perhaps in the past: the next
    /// scheduled task is due, or the next deadline of a waiting one passes. None when neither is to
    /// come.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn next_run_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<(Option<i64>,)> = self.readers().read_optional(query(NEXT)).await?;
        Ok(next.and_then(|(next,)| next).map(Timestamp::from_unix_ms))
    }

    /// Whether a task is ready: a look that keeps nobody waiting, before a claim that may be in
    /// vain.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn has_ready(&self) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM tally WHERE state = 2 LIMIT 1";
        Ok(self.readers().fetch_optional(query(SQL)).await?.is_some())
    }
}

struct Claim {
    session: SessionId,
    now: Timestamp,
    free: u32,
    limits: Limits,
    rounds: Arc<Mutex<Rounds>>,
}

const PROMOTE: Sql = sql!(
    "\
    WITH due AS MATERIALIZED ( \
      SELECT id FROM task WHERE state = 1 AND run_at <= $1 ORDER BY run_at LIMIT $2 ",
    SKIP_LOCKED,
    " \
    ) \
    UPDATE task SET state = 2 WHERE id IN (SELECT id FROM due) RETURNING job_id, id"
);

const NEXT: &str = "\
    SELECT min(at) FROM ( \
      SELECT min(run_at) AS at FROM task WHERE state = 1 \
      UNION ALL \
      SELECT min(deadline) FROM task WHERE deadline IS NOT NULL AND state < 8 AND state <> 3 \
    ) AS next";

/// What a claim sees to before all else.
const LOOK: &str = "\
    SELECT EXISTS (SELECT 1 FROM session \
                   WHERE id = $1 AND ended_at IS NULL AND lease_until >= $2), \
           EXISTS (SELECT 1 FROM task WHERE deadline IS NOT NULL AND state < 8 AND state <> 3 \
                   AND deadline <= $2), \
           EXISTS (SELECT 1 FROM task WHERE state = 1 AND run_at <= $2), \
           EXISTS (SELECT 1 FROM breaker WHERE open_until IS NOT NULL), \
           EXISTS (SELECT 1 FROM tool_rule)";

const TAKE: Sql = sql!(
    "\
    UPDATE task SET state = 3, attempt = attempt + 1, session_id = $2, \
                    started_at = coalesce(started_at, $3) \
    WHERE state = 2 AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

const BEGIN_ATTEMPTS: Sql = sql!(
    "\
    INSERT INTO attempt (task_id, n, session_id, started_at, component_id) \
    SELECT id, attempt, session_id, $2, \
           (SELECT component.id FROM plugin JOIN component ON component.digest = plugin.digest \
            WHERE plugin.name = task.executor) \
    FROM task WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

/// Each task that is taken is an event of its job.
const START_JOBS: Sql = sql!(
    "\
    UPDATE job SET state = CASE state WHEN 'pending' THEN 'running' ELSE state END, \
                   event_count = event_count + taken.n \
    FROM (SELECT job_id, count(*) AS n FROM task \
          WHERE id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ") GROUP BY job_id) AS taken WHERE job.id = taken.job_id"
);

const SHOW_CLAIMED: Sql = sql!(
    "\
    SELECT task.id, task.job_id, task.attempt, task.reference, task.executor, task.timeout_ms, \
           task.deadline, task.attempts_max, task.attempts_before, task.backoff, task.token_budget, task.model, task.allow, task.uses_cache, \
           task_input.body, job.principal, job.grants, job.event_count, job.hops, \
           EXISTS (SELECT 1 FROM dependency WHERE task_id = task.id) AS has_dependencies \
    FROM task JOIN job ON job.id = task.job_id LEFT JOIN task_input ON task_input.task_id = task.id \
    WHERE task.id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ") \
    ORDER BY task.priority, task.run_at, task.id"
);

const SHOW_USED: Sql = sql!(
    "\
    SELECT task_id, usage FROM attempt \
    WHERE usage IS NOT NULL AND task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

impl Write for Claim {
    type Output = Handed;

    const TURN: Turn = Turn::Claim;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Handed, StoreError> {
        let look = query(LOOK).bind(self.session.0).bind(self.now.unix_ms());
        let (is_held, is_late, is_due, is_guarded, is_ruled): (bool, bool, bool, bool, bool) =
            look.read_one(connection).await?;
        if !is_held {
            return Err(StoreError::SessionLost);
        }
        let mut handed = Handed::default();
        if is_late {
            (handed.expired, handed.jobs_ended) = deadlines::expire(connection, self.now).await?;
        }
        if is_due {
            let due = self.promote(connection).await?;
            events::append(connection, due).await?;
        }
        let mut limits = self.limits.clone();
        if is_guarded {
            for (executor, most) in breakers::allowances(connection, self.now).await? {
                let allowed = limits.allowances.entry(executor).or_insert(most);
                *allowed = most.min(*allowed);
            }
        }
        let mut heeded = Heeded::default();
        if is_ruled {
            heeded = tool_rules::heed(connection, &mut limits, self.now).await?;
        }
        self.hand_out(connection, &limits, heeded.is_gated, &mut handed).await?;
        if is_ruled {
            let executors = handed.tasks.iter().map(|taken| row::column(&taken.row, "executor"));
            let executors = executors.collect::<Result<Vec<&str>, _>>()?;
            let started = |tool: &str| executors.iter().filter(|own| **own == tool).count();
            tool_rules::start(connection, &heeded, started, self.now).await?;
        }
        Ok(handed)
    }
}

/// What a claim took and ended, as it is stored.
#[derive(Default)]
struct Handed {
    tasks: Vec<Taken>,
    expired: Vec<Expired>,
    jobs_ended: Vec<(JobId, JobState)>,
    parked: BTreeSet<JobId>,
}

/// A task that has become running, as it is stored: it is read once the writer is free again.
struct Taken {
    job: JobId,
    task: TaskId,
    attempt: u32,
    row: Row,
    /// What each earlier attempt used.
    used: Vec<Row>,
}

impl Claim {
    /// Hands tasks out until no place is free or every lane was looked at.
    async fn hand_out(
        &self,
        connection: &mut Connection<'_>,
        limits: &Limits,
        is_gated: bool,
        handed: &mut Handed,
    ) -> Result<(), StoreError> {
        let mut parked = 0;
        let mut rounds = self.rounds.lock().await;
        let mut round = Round::from(rounds.after);
        loop {
            let got = u32::try_from(handed.tasks.len()).unwrap_or(u32::MAX);
            let free = self.free.saturating_sub(got);
            if free == 0 || round.is_done || parked >= PARKED_PER_CLAIM_MAX {
                return Ok(());
            }
            let mut chosen =
                self.choose(connection, limits, (&mut *rounds, &mut round), free).await?;
            if is_gated {
                let new = approvals::park(connection, &chosen, self.now).await?;
                if !new.tasks.is_empty() {
                    chosen.retain(|task| !new.tasks.contains(task));
                    parked += new.tasks.len();
                    handed.parked.extend(new.jobs);
                    events::append(connection, new.drafts).await?;
                    // Once more: their places are free again.
                    round = Round::from(rounds.after);
                }
            }
            handed.tasks.extend(self.take(connection, &chosen).await?);
        }
    }

    /// Makes due tasks ready.
    async fn promote(&self, connection: &mut Connection<'_>) -> Result<Vec<Draft>, StoreError> {
        let mut due: Vec<(i64, i64)> = query(PROMOTE)
            .bind(self.now.unix_ms())
            .bind(PROMOTED_PER_CLAIM_MAX)
            .read_all(connection)
            .await?;
        due.sort_unstable();
        let ready =
            |(job, task)| Draft::of_state(JobId(job), TaskId(task), TaskState::Ready, self.now);
        Ok(due.into_iter().map(ready).collect())
    }

    /// Chooses ready tasks of the next lanes of a round.
    async fn choose(
        &self,
        connection: &mut Connection<'_>,
        limits: &Limits,
        (rounds, round): (&mut Rounds, &mut Round),
        free: u32,
    ) -> Result<Vec<i64>, StoreError> {
        let (ready, running) = lanes::next(connection, round).await?;
        rounds.after = round.after;
        let mut division = Division::new(free, limits, &ready, &running, &mut rounds.turns);
        let mut seen = HashSet::new();
        loop {
            // Half of what is seen at first may be of use. Of a lane that is asked for again, all is
            // that can be.
            let asked = division.advance();
            let (again, first): (Vec<_>, Vec<_>) =
                asked.into_iter().partition(|lane| seen.contains(lane));
            seen.extend(first.iter().copied());
            if again.is_empty() && first.is_empty() {
                return Ok(division.given().into_iter().map(|task| task.0).collect());
            }
            let count = u32::try_from(first.len()).unwrap_or(u32::MAX).max(1);
            let depth = free.saturating_mul(2).div_ceil(count).min(free);
            for (lanes, depth) in [(first, depth), (again, free)] {
                if lanes.is_empty() {
                    continue;
                }
                for (lane, heads) in lanes::heads(connection, &lanes, depth).await? {
                    let is_short = u32::try_from(heads.len()).is_ok_and(|count| count < depth);
                    division.know(lane, heads, is_short || depth == free);
                }
            }
        }
    }

    /// Makes chosen tasks running, and begins their attempts.
    async fn take(
        &self,
        connection: &mut Connection<'_>,
        chosen: &[i64],
    ) -> Result<Vec<Taken>, StoreError> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, now) = (row::text(chosen)?, self.now.unix_ms());
        let mut batch = Batch::default();
        batch.add(query(TAKE).bind(&ids).bind(self.session.0).bind(now));
        batch.add(query(BEGIN_ATTEMPTS).bind(&ids).bind(now));
        batch.add(query(START_JOBS).bind(&ids));
        batch.add(query(SHOW_CLAIMED).bind(ids));
        let rows = batch.fetch_all(connection).await?;
        let mut lasts = BTreeMap::new();
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let (job, task) = (row::column(&row, "job_id")?, row::column(&row, "id")?);
            lasts.insert(job, row::column(&row, "event_count")?);
            let (job, task) = (JobId(job), TaskId(task));
            let attempt = row::number(&row, "attempt")?;
            taken.push(Taken { job, task, attempt, row, used: Vec::new() });
        }
        let running = |taken: &Taken| {
            let held = (taken.job, taken.task, taken.attempt);
            Draft::of_attempt_state(held, TaskState::Running, None, self.now)
        };
        let drafts = taken.iter().map(running).collect();
        events::insert_each(connection, drafts, lasts.into_iter().collect()).await?;
        find_used(connection, &mut taken).await?;
        Ok(taken)
    }
}

/// Finds what earlier attempts used. Most tasks have none, and ask nothing.
async fn find_used(connection: &mut Connection<'_>, taken: &mut [Taken]) -> Result<(), StoreError> {
    let again = taken.iter_mut().filter(|taken| taken.attempt > 1);
    let mut again: HashMap<i64, _> = again.map(|taken| (taken.task.0, &mut taken.used)).collect();
    if again.is_empty() {
        return Ok(());
    }
    let ids = row::text(&again.keys().collect::<Vec<_>>())?;
    for row in query(SHOW_USED).bind(ids).fetch_all(connection).await? {
        if let Some(used) = again.get_mut(&row::column(&row, "task_id")?) {
            used.push(row);
        }
    }
    Ok(())
}

impl Taken {
    /// Reads all of it. Without what was used, a task could spend its budget twice.
    fn read(&self) -> Result<Claimed, StoreError> {
        let mut task = read_claimed(&self.row)?;
        for used in &self.used {
            task.used = task.used.and(row::json(used, "usage")?);
        }
        Ok(task)
    }
}

/// The end of an attempt whose task cannot be read.
fn give_up(taken: &Taken, now: Timestamp, error: &StoreError) -> Ending {
    let Taken { task, attempt, .. } = *taken;
    tracing::error!(%task, %error, "a task cannot be read, so it has failed");
    let message = "the host cannot read this task from its database, and its log says why; submit \
                   the task again";
    let end = End::Failed { fault: Fault::new(FaultCode::Permanent, message) };
    let (usage, events) = (None, Vec::new());
    Ending { task, attempt, now, end, usage, events, keeps_checkpoints: true, tool: None }
}

fn read_claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        job: JobId(row::column(row, "job_id")?),
        task: TaskId(row::column(row, "id")?),
        attempt: row::number(row, "attempt")?,
        reference: row::column(row, "reference")?,
        executor: row::column(row, "executor")?,
        principal: row::column(row, "principal")?,
        inputs: row::json(row, "body")?,
        timeout: row::perhaps_number(row, "timeout_ms")?.map(Duration::from_millis),
        deadline: row::perhaps_moment(row, "deadline")?,
        attempts_max: row::number(row, "attempts_max")?,
        attempts_before: row::number(row, "attempts_before")?,
        backoff: row::json(row, "backoff")?,
        token_budget: row::perhaps_number(row, "token_budget")?,
        model: row::column(row, "model")?,
        grants: row::json(row, "grants")?,
        has_dependencies: row::column(row, "has_dependencies")?,
        allow: row::perhaps_json(row, "allow")?,
        uses_cache: row::column(row, "uses_cache")?,
        used: Usage::default(),
        hops: row::hops(row, "hops")?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::address::Address;
    use crate::admission;
    use crate::connection::Either;
    use crate::deadlines::EXPIRE;
    use crate::dialect::FIRST_OF_LANES;

    /// How the database goes about a statement, step by step.
    pub(crate) async fn plan(sql: Sql) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("apflow.db"));
        let store = Store::open(&address).await.unwrap();
        let Either::Sqlite(readers) = store.readers() else { panic!("it is a file") };
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.sqlite)))
            .fetch_all(readers)
            .await
            .unwrap();
        rows.iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn what_claims_and_submissions_look_for_is_read_off_an_index_in_order() {
        let searches = [
            (PROMOTE, vec!["task_scheduled"]),
            (EXPIRE, vec!["task_deadline"]),
            (lanes::SHOW.into(), vec!["SEARCH tally USING PRIMARY KEY (state=? AND lane_id>?)"]),
            (FIRST_OF_LANES, vec!["INDEX task_ready (lane_id=?)"]),
            (TAKE, vec!["SEARCH task USING INTEGER PRIMARY KEY"]),
            (NEXT.into(), vec!["task_deadline"]),
            (admission::COUNT.into(), vec!["SEARCH tally USING PRIMARY KEY (state<?)"]),
            (admission::COUNT_EACH.into(), vec!["SEARCH tally USING PRIMARY KEY (state<?)"]),
            (lanes::INSERT, vec!["lane_by_name"]),
        ];
        for (sql, indexes) in searches {
            let steps = plan(sql).await;
            for index in indexes {
                assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
            }
            assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{steps:?}");
            for table in ["task", "tally", "lane"] {
                let scan = format!("SCAN {table}");
                assert!(!steps.contains(&scan), "{steps:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_claimed_is_read_by_its_id() {
        let steps = plan(SHOW_CLAIMED).await;
        let scans = |table| steps.iter().any(|step| step.starts_with(&format!("SCAN {table}")));
        assert!(!["task", "task_input", "job"].into_iter().any(scans), "{steps:?}");
    }

    #[test]
    fn the_states_in_the_statements_are_the_models() {
        let codes = [TaskState::Scheduled, TaskState::Ready, TaskState::Running];
        assert_eq!(codes.map(TaskState::code), [1, 2, 3]);
        let codes = [TaskState::Blocked, TaskState::Completed, TaskState::Skipped];
        assert_eq!(codes.map(TaskState::code), [0, 8, 11]);
    }
}
