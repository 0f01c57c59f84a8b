//! The claim: which tasks come next, and what they are handed.
//!
//! It does not decide whether a claimed task may run: the engine admits it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::fair::{Division, Limits};
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::retry::Backoff;
use apflow_model::state::{JobState, TaskState};
use apflow_model::usage::Usage;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::approvals;
use crate::attempts::{End, Ending};
use crate::breakers;
use crate::connection::{Connection, Row, query};
use crate::deadlines::{self, Expired};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::lanes::{self, Round, Rounds};
use crate::row;
use crate::sessions::{self, SessionId};
use crate::store::Store;
use crate::tool_rules;
use crate::write::{Turn, Write, WriteGroup};

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
        self.write(Claim { session, now, free, limits, rounds: Arc::clone(self.rounds()) }).await
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

const TAKE: Sql = sql!(
    "\
    UPDATE task SET state = 3, attempt = attempt + 1, session_id = $2, \
                    started_at = coalesce(started_at, $3) \
    WHERE state = 2 AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ") RETURNING id"
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

const START_JOBS: Sql = sql!(
    "\
    UPDATE job SET state = 'running' \
    WHERE state = 'pending' AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    ")"
);

const SHOW_CLAIMED: Sql = sql!(
    "\
    SELECT task.id, task.job_id, task.attempt, task.reference, task.executor, task.timeout_ms, \
           task.deadline, task.attempts_max, task.attempts_before, task.backoff, task.token_budget, task.model, task.allow, task.uses_cache, \
           task_input.body, job.principal, job.grants, \
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
    type Output = HandedOut;

    const TURN: Turn = Turn::Claim;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<HandedOut, StoreError> {
        sessions::check(connection, self.session, self.now).await?;
        let (expired, jobs_ended) = deadlines::expire(connection, self.now).await?;
        let mut handed_out = HandedOut { expired, jobs_ended, ..HandedOut::default() };
        let promoted = self.promote(connection).await?;
        events::append(connection, promoted).await?;
        let mut limits = self.limits(connection).await?;
        let heeded = tool_rules::heed(connection, &mut limits, self.now).await?;
        self.hand_out(connection, &limits, heeded.is_gated, &mut handed_out).await?;
        let started =
            |tool: &str| handed_out.tasks.iter().filter(|task| task.executor == tool).count();
        tool_rules::start(connection, &heeded, started, self.now).await?;
        Ok(handed_out)
    }
}

/// A task that has become running.
struct Taken {
    job: JobId,
    task: TaskId,
    attempt: u32,
    /// All of it, unless it cannot be read.
    read: Result<Claimed, StoreError>,
}

impl Claim {
    /// Hands tasks out until no place is free or every lane was looked at.
    async fn hand_out(
        &self,
        connection: &mut Connection<'_>,
        limits: &Limits,
        is_gated: bool,
        handed_out: &mut HandedOut,
    ) -> Result<(), StoreError> {
        let mut rounds = self.rounds.lock().await;
        let (mut parked, mut drafts) = (0, Vec::new());
        let mut round = Round::from(rounds.after);
        loop {
            let got = u32::try_from(handed_out.tasks.len()).unwrap_or(u32::MAX);
            let free = self.free.saturating_sub(got);
            let chosen = self.choose(connection, limits, (&mut *rounds, &mut round), free).await?;
            let mut parked_now = 0;
            if is_gated {
                let new = approvals::park(connection, &chosen, self.now).await?;
                parked_now = new.count;
                handed_out.parked.extend(new.jobs);
                drafts.extend(new.drafts);
            }
            parked += parked_now;
            let taken = self.take(connection, &chosen).await?;
            drafts.extend(taken.iter().map(|taken| {
                let held = (taken.job, taken.task, taken.attempt);
                Draft::of_attempt_state(held, TaskState::Running, None, self.now)
            }));
            events::append(connection, std::mem::take(&mut drafts)).await?;
            let mut unreadable = Vec::new();
            for taken in taken {
                match taken.read {
                    Ok(task) => handed_out.tasks.push(task),
                    Err(error) => unreadable.push(self.give_up(taken.task, taken.attempt, &error)),
                }
            }
            for settled in Ending::apply_group(&unreadable, connection).await? {
                let settled = settled?;
                handed_out.jobs_ended.extend(settled.job_ended.map(|end| (settled.job, end)));
            }
            let has_parked = parked_now > 0 && parked < PARKED_PER_CLAIM_MAX;
            if !unreadable.is_empty() || has_parked {
                // Once more: there is room left, and the ends may have made other tasks ready.
                round = Round::from(rounds.after);
            } else if free == 0 || round.is_done || parked_now > 0 {
                return Ok(());
            }
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

    /// The limits that were passed in, and the allowances of executors whose breakers are not closed.
    async fn limits(&self, connection: &mut Connection<'_>) -> Result<Limits, StoreError> {
        let mut limits = self.limits.clone();
        for (executor, most) in breakers::allowances(connection, self.now).await? {
            let allowed = limits.allowances.entry(executor).or_insert(most);
            *allowed = most.min(*allowed);
        }
        Ok(limits)
    }

    /// Chooses ready tasks of the next lanes of a round.
    async fn choose(
        &self,
        connection: &mut Connection<'_>,
        limits: &Limits,
        (rounds, round): (&mut Rounds, &mut Round),
        free: u32,
    ) -> Result<Vec<i64>, StoreError> {
        if free == 0 {
            return Ok(Vec::new());
        }
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
        let taken: Vec<(i64,)> = query(TAKE)
            .bind(row::text(chosen)?)
            .bind(self.session.0)
            .bind(self.now.unix_ms())
            .read_all(connection)
            .await?;
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let ids = id_list(taken.into_iter().map(|(id,)| id))?;
        query(BEGIN_ATTEMPTS).bind(&ids).bind(self.now.unix_ms()).execute(connection).await?;
        let rows = query(SHOW_CLAIMED).bind(&ids).fetch_all(connection).await?;
        let mut taken = rows.iter().map(read_taken).collect::<Result<Vec<_>, _>>()?;
        let jobs = id_list(taken.iter().map(|taken| taken.job.0))?;
        query(START_JOBS).bind(jobs).execute(connection).await?;
        add_used(connection, &mut taken).await?;
        Ok(taken)
    }

    /// The end of an attempt whose task cannot be read.
    fn give_up(&self, task: TaskId, attempt: u32, error: &StoreError) -> Ending {
        tracing::error!(%task, %error, "a task cannot be read, so it has failed");
        let message = "the host cannot read this task from its database, and its log says why; \
                       submit the task again";
        let end = End::Failed { fault: Fault::new(FaultCode::Permanent, message) };
        Ending {
            task,
            attempt,
            now: self.now,
            end,
            usage: None,
            events: Vec::new(),
            keeps_checkpoints: true,
            tool: None,
        }
    }
}

fn read_taken(row: &Row) -> Result<Taken, StoreError> {
    Ok(Taken {
        job: JobId(row::column(row, "job_id")?),
        task: TaskId(row::column(row, "id")?),
        attempt: row::number(row, "attempt")?,
        read: read_claimed(row),
    })
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
    })
}

/// Adds up what earlier attempts used. Most tasks have none, and ask nothing.
async fn add_used(connection: &mut Connection<'_>, taken: &mut [Taken]) -> Result<(), StoreError> {
    let again = taken.iter_mut().filter(|taken| taken.attempt > 1);
    let mut again: HashMap<i64, _> = again.map(|taken| (taken.task.0, &mut taken.read)).collect();
    if again.is_empty() {
        return Ok(());
    }
    let ids = id_list(again.keys().copied())?;
    for row in query(SHOW_USED).bind(ids).fetch_all(connection).await? {
        let Some(read) = again.get_mut(&row::column(&row, "task_id")?) else { continue };
        match (row::json(&row, "usage"), read) {
            (Ok(usage), Ok(task)) => task.used = task.used.and(usage),
            // Without it, the task could spend its budget twice.
            (Err(error), read) => **read = Err(error),
            (Ok(_), Err(_)) => {}
        }
    }
    Ok(())
}

fn id_list(ids: impl Iterator<Item = i64>) -> Result<String, StoreError> {
    row::text(&ids.collect::<Vec<_>>())
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
