//! The claim: which tasks come next, and what they are handed.
//!
//! It does not decide whether a claimed task may run: the engine admits it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use apflow_model::clock::Timestamp;
use apflow_model::cost_policy::CostRules;
use apflow_model::fair::Limits;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};
use tokio::sync::Mutex;

use crate::approvals;
use crate::attempts::{End, Ending};
use crate::breakers;
use crate::budgets;
use crate::choice::Hand;
use crate::connection::{Connection, Query, query};
use crate::deadlines::{self, Expired};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::lanes::{self, Round, Rounds};
use crate::look::{self, Look};
use crate::plugins::PluginRevision;
use crate::reserve;
use crate::sessions::SessionId;
use crate::spending::Spending;
use crate::standing::Places;
use crate::store::Store;
use crate::take::{self, Claimed, Taken};
use crate::tool_rules::{self, Heeded};
use crate::write::{Turn, Write};

/// The most scheduled tasks that one claim makes ready. A claim that leaves some behind makes
/// [`Store::next_run_at`] a moment in the past, so the next one comes at once.
pub const PROMOTED_PER_CLAIM_MAX: u32 = 1_000;

/// The most tasks that one claim parks. What is left waits for the next.
pub const PARKED_PER_CLAIM_MAX: usize = 1_000;

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
    /// Whether tasks may be ready that it did not hand out: no place was free, a limit holds them
    /// back, or they became ready meanwhile.
    pub has_more: bool,
    /// When a claim next has something to do that only the time brings, perhaps in the past, as
    /// [`Store::next_run_at`] says.
    pub next_run_at: Option<Timestamp>,
    /// What the plugins were when it was handed out.
    pub plugins: PluginRevision,
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
            let places = Arc::new(Fixed { now, free: free.saturating_sub(got) });
            let handed = self.write(self.new_claim(session, places, limits.clone())).await?;
            let is_all_read = self.read(&mut handed_out, handed, now).await?;
            // Else once more: there is room left, and the ends may have made other tasks ready.
            if is_all_read {
                return Ok(handed_out);
            }
        }
    }

    /// Hands ready tasks out as [`Store::claim`] does, as soon as there may be something to take: in
    /// the commit that makes a task ready, or when [`Store::claim_now`] is called. It asks for the
    /// moment and the free places then. With `is_eager`, something may be ready already: then it waits
    /// only for a free place, of which [`Store::place_is_free`] tells.
    ///
    /// There is one at a time: another takes its place.
    ///
    /// # Errors
    ///
    /// As [`Store::claim`]; [`StoreError::Closed`] when another took its place.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped, it may still hand out tasks to nobody.
    pub async fn claim_when_ready(
        &self,
        session: SessionId,
        places: Arc<dyn Places>,
        limits: Limits,
        is_eager: bool,
    ) -> Result<HandedOut, StoreError> {
        let claim = self.new_claim(session, Arc::clone(&places), limits);
        let handed = self.writer().stand(claim, Arc::clone(&places), is_eager).await?;
        let mut handed_out = HandedOut::default();
        let is_all_read = self.read(&mut handed_out, handed, places.now()).await?;
        handed_out.has_more |= !is_all_read;
        Ok(handed_out)
    }

    /// Lets the claim that stands look for work that this process may not know of.
    pub fn claim_now(&self) {
        self.writer().rouser().force();
    }

    /// Lets the claim that stands for a free place look again.
    pub fn place_is_free(&self) {
        self.writer().rouser().rouse();
    }

    fn new_claim(&self, session: SessionId, places: Arc<dyn Places>, limits: Limits) -> Claim {
        let (rounds, cost_rules) = (Arc::clone(self.rounds()), self.cost_rules().clone());
        Claim { session, places, limits, rounds, cost_rules }
    }

    /// Reads what was handed out, and ends what cannot be read. Whether all could be.
    async fn read(
        &self,
        handed_out: &mut HandedOut,
        handed: Handed,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        handed_out.expired.extend(handed.expired);
        handed_out.jobs_ended.extend(handed.jobs_ended);
        handed_out.parked.extend(handed.parked);
        (handed_out.has_more, handed_out.next_run_at) = (handed.has_more, handed.next_run_at);
        handed_out.plugins = handed.plugins;
        let mut is_all_read = true;
        for taken in handed.tasks {
            match taken.read() {
                Ok(task) => handed_out.tasks.push(Claimed { plugins: handed.plugins, ..task }),
                Err(error) => {
                    is_all_read = false;
                    let settled = self.write(give_up(&taken, now, &error)).await?;
                    let ended = settled.job_ended.map(|end| (settled.job, end));
                    handed_out.jobs_ended.extend(ended);
                }
            }
        }
        Ok(is_all_read)
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

/// A claim's places that are known beforehand.
struct Fixed {
    now: Timestamp,
    free: u32,
}

impl Places for Fixed {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn free(&self) -> u32 {
        self.free
    }
}

struct Claim {
    session: SessionId,
    places: Arc<dyn Places>,
    limits: Limits,
    rounds: Arc<Mutex<Rounds>>,
    cost_rules: CostRules,
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

impl Write for Claim {
    type Output = Handed;

    const TURN: Turn = Turn::Claim;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Handed, StoreError> {
        let (now, free) = (self.places.now(), self.places.free());
        let mut rounds = self.rounds.lock().await;
        let look = look::ask(self.session, now);
        let [lanes, heads] = lanes::look(rounds.after, free);
        let [look, lanes, heads] = Query::fetch_each([look, lanes, heads], connection).await?;
        let look = Look::read(&look)?;
        let Look { deadline, run_at, is_guarded, is_ruled, is_budgeted, plugins, .. } = look;
        if !look.is_held {
            return Err(StoreError::SessionLost);
        }
        let next_run_at = deadline.into_iter().chain(run_at).min();
        let mut handed = Handed { next_run_at, plugins, ..Handed::default() };
        let is_late = deadline.is_some_and(|deadline| deadline <= now);
        let is_due = run_at.is_some_and(|run_at| run_at <= now);
        if is_late {
            (handed.expired, handed.jobs_ended) = deadlines::expire(connection, now).await?;
        }
        if is_due {
            let due = promote(connection, now).await?;
            events::append(connection, due).await?;
        }
        let (mut is_woken, mut budget_at) = (false, None);
        if is_budgeted {
            let (woken, next) = budgets::wake_due(connection, now).await?;
            (is_woken, budget_at) = (!woken.is_empty(), next);
        }
        if is_late || is_due {
            let (next,): (Option<i64>,) = query(NEXT).read_one(connection).await?;
            handed.next_run_at = next.map(Timestamp::from_unix_ms);
        }
        handed.next_run_at = handed.next_run_at.into_iter().chain(budget_at).min();
        if !(is_late || is_due || is_woken || look.is_ready) {
            return Ok(handed);
        }
        let mut limits = self.limits.clone();
        if is_guarded {
            for (executor, most) in breakers::allowances(connection, now).await? {
                let allowed = limits.allowances.entry(executor).or_insert(most);
                *allowed = most.min(*allowed);
            }
        }
        let mut heeded = Heeded::default();
        if is_ruled {
            heeded = tool_rules::heed(connection, &mut limits, now).await?;
        }
        // What has just become ready was not looked at.
        let is_news = is_late || is_due || is_woken;
        let is_gated = look.needs_approval || heeded.is_gated || is_news;
        let seen = (!is_news).then_some([lanes, heads]);
        let hand = Hand { rounds: &mut rounds, limits: &limits, now, is_gated, is_budgeted, seen };
        self.hand_out(connection, hand, free, &mut handed).await?;
        if is_ruled {
            let executors = handed.tasks.iter().map(Taken::executor);
            let executors = executors.collect::<Result<Vec<_>, _>>()?;
            let started = |tool: &str| executors.iter().filter(|own| **own == tool).count();
            tool_rules::start(connection, &heeded, started, now).await?;
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
    has_more: bool,
    next_run_at: Option<Timestamp>,
    plugins: PluginRevision,
}

impl Claim {
    /// Hands tasks out until no place is free or every lane was looked at.
    async fn hand_out(
        &self,
        connection: &mut Connection<'_>,
        mut hand: Hand<'_>,
        free: u32,
        handed: &mut Handed,
    ) -> Result<(), StoreError> {
        let (mut parked, mut ready) = (0, 0_u64);
        let mut round = Round::from(hand.rounds.after);
        loop {
            let free = free.saturating_sub(u32::try_from(handed.tasks.len()).unwrap_or(u32::MAX));
            if free == 0 || round.is_done || parked >= PARKED_PER_CLAIM_MAX {
                handed.has_more = !round.is_done || ready > (handed.tasks.len() + parked) as u64;
                return Ok(());
            }
            let (mut chosen, seen) = hand.choose(connection, &mut round, free).await?;
            ready += seen;
            if hand.is_gated {
                let new = approvals::park(connection, &chosen, hand.now).await?;
                if !new.tasks.is_empty() {
                    chosen.retain(|task| !new.tasks.contains(task));
                    parked += new.tasks.len();
                    handed.parked.extend(new.jobs);
                    events::append(connection, new.drafts).await?;
                    // Once more: their places are free again.
                    round = Round::from(hand.rounds.after);
                }
            }
            let mut refused = HashMap::new();
            if hand.is_budgeted {
                let looked = reserve::look(connection, &self.cost_rules, &chosen, hand.now).await?;
                if !looked.parked.is_empty() {
                    chosen.retain(|task| !looked.parked.contains(task));
                    parked += looked.parked.len();
                    handed.parked.extend(looked.jobs);
                    round = Round::from(hand.rounds.after);
                }
                refused = looked.refused;
            }
            let mut taken = take::take(connection, &chosen, self.session, hand.now).await?;
            for taken in &mut taken {
                taken.refused = refused.remove(&taken.task);
            }
            handed.tasks.extend(taken);
        }
    }
}

/// Makes due tasks ready.
async fn promote(
    connection: &mut Connection<'_>,
    now: Timestamp,
) -> Result<Vec<Draft>, StoreError> {
    let mut due: Vec<(i64, i64)> = query(PROMOTE)
        .bind(now.unix_ms())
        .bind(PROMOTED_PER_CLAIM_MAX)
        .read_all(connection)
        .await?;
    due.sort_unstable();
    let ready = |(job, task)| Draft::of_state(JobId(job), TaskId(task), TaskState::Ready, now);
    Ok(due.into_iter().map(ready).collect())
}

/// The end of an attempt whose task cannot be read.
fn give_up(taken: &Taken, now: Timestamp, error: &StoreError) -> Ending {
    let Taken { task, attempt, .. } = *taken;
    tracing::error!(%task, %error, "a task cannot be read, so it has failed");
    let message = "the host cannot read this task from its database, and its log says why; submit \
                   the task again";
    let end = End::Failed { fault: Fault::new(FaultCode::Permanent, message) };
    let (usage, events) = (None, Vec::new());
    let (keeps_checkpoints, tool, spending) = (true, None, Spending::unknown());
    Ending { task, attempt, now, end, usage, events, keeps_checkpoints, tool, spending }
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
    use crate::take::{SHOW_CLAIMED, TAKE};

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

    /// The step in which a statement reads a table that grows as a whole, if it has one.
    pub(crate) async fn reads_whole(sql: impl Into<Sql>) -> Option<String> {
        const GROWING: [&str; 11] = [
            "attempt",
            "budget",
            "budget_block",
            "budget_wait",
            "chain_place",
            "charge",
            "job",
            "notification",
            "reservation",
            "session",
            "task",
        ];
        let is_whole = |step: &String| {
            let mut words = step.split(' ');
            words.next() == Some("SCAN") && words.next().is_some_and(|name| GROWING.contains(&name))
        };
        plan(sql.into()).await.into_iter().find(is_whole)
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
    async fn a_claim_looks_at_no_table_as_a_whole() {
        let steps = plan(look::LOOK.into()).await;
        assert!(steps.iter().any(|step| step.contains("task_to_approve")), "{steps:?}");
        let scans = |table| steps.contains(&format!("SCAN {table}"));
        assert!(!["task", "session"].into_iter().any(scans), "{steps:?}");
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
