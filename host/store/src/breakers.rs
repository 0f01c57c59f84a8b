//! Circuit breakers that are open, or have counted failures.
//!
//! It decides no move: `apflow_model::breaker` does, here within the writer's transaction, so that
//! all hosts see the same breakers and no move is lost. One that is well has no row, so a success
//! that changes nothing writes nothing.

use std::collections::{BTreeMap, HashMap};

use apflow_model::breaker::{Admission, Breaker, BreakerKey, BreakerRule, Outcome, Passage};
use apflow_model::clock::Timestamp;
use apflow_model::job::{HeldBy, Task};
use apflow_model::state::TaskState;

use crate::connection::{Connection, Query, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::{Answers, Turn, Write, WriteGroup};

/// The most breakers that are kept. Guests choose destinations, so there could be any number.
pub const BREAKERS_MAX: u32 = 1_000;

/// A breaker that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBreaker {
    /// Where it stands.
    pub breaker: Breaker,
    /// How many probes may be under way.
    pub probes_max: u32,
    /// What the last failure said.
    pub fault: Option<String>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// The end of something that a breaker let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerMove {
    /// The breaker.
    pub key: BreakerKey,
    /// Its rule.
    pub rule: BreakerRule,
    /// What has ended, and what that says.
    pub passage: Passage,
    /// What a failure said.
    pub fault: Option<String>,
}

/// What a move changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where the breaker stood.
    pub before: Breaker,
    /// Where it stands.
    pub after: Breaker,
}

impl Store {
    /// Moves breakers, in this order. The answers are in the same order.
    ///
    /// When [`BREAKERS_MAX`] are kept, another one is logged and stays closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; none is moved then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn move_breakers(&self, moves: Vec<BreakerMove>) -> Result<Vec<Moved>, StoreError> {
        self.write(Moves(moves)).await
    }

    /// Asks a breaker whether something may go through now. A probe that may has its place until
    /// `lapses`. Answers where the breaker stands then as well.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped: the place of the
    /// probe is taken until it lapses.
    pub async fn admit(
        &self,
        key: BreakerKey,
        now: Timestamp,
        lapses: Timestamp,
    ) -> Result<(Admission, Breaker), StoreError> {
        self.write(Admit { key, now, lapses }).await
    }

    /// Lists all breakers that are not well, by key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_breakers(&self) -> Result<BTreeMap<BreakerKey, KeptBreaker>, StoreError> {
        let rows = self.readers().fetch_all(query("SELECT * FROM breaker ORDER BY key")).await?;
        rows.iter().map(read).collect()
    }

    /// Forgets all that is known against what a breaker guards. False when there was nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn reset_breaker(&self, key: &BreakerKey) -> Result<bool, StoreError> {
        Ok(self.write(Reset::One(key.to_string())).await? > 0)
    }

    /// Forgets all that is known against everything whose key begins so; an empty text is all of it.
    /// Answers how many breakers that were.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn reset_breakers(&self, prefix: &'static str) -> Result<u64, StoreError> {
        self.write(Reset::Alike(format!("{prefix}%"))).await
    }

    /// Forgets breakers that have not changed since `before`, and are not open now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_breakers(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(Forget { before, now }).await
    }
}

fn read(row: &Row) -> Result<(BreakerKey, KeptBreaker), StoreError> {
    let key: &str = row::column(row, "key")?;
    let (failures, times) = (row::number(row, "failures")?, row::number(row, "times")?);
    let breaker = match row::perhaps_moment(row, "open_until")? {
        None => Breaker::Closed { failures },
        Some(until) => {
            let probes: Vec<i64> = row::json(row, "probes")?;
            let probes = probes.into_iter().map(Timestamp::from_unix_ms).collect();
            Breaker::Open { failures, times, until, probes }
        }
    };
    let kept = KeptBreaker {
        breaker,
        probes_max: row::number(row, "probes_max")?,
        fault: row::perhaps_json(row, "fault")?,
        changed_at: row::moment(row, "changed_at")?,
    };
    Ok((key.parse().map_err(StoreError::corrupt)?, kept))
}

/// Ends of what breakers let through, in order.
struct Moves(Vec<BreakerMove>);

const SHOW: Sql = sql!(
    "SELECT * FROM breaker WHERE key IN (SELECT value->>0 FROM ",
    ROWS,
    " AS given) ORDER BY key"
);

const PUT: Sql = sql!(
    "\
    INSERT INTO breaker (key, failures, times, open_until, probes, probes_max, fault, changed_at) \
    SELECT value->>0, CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
           CAST(value->>3 AS BIGINT), value->>4, CAST(value->>5 AS BIGINT), value->>6, \
           CAST(value->>7 AS BIGINT) FROM ",
    ROWS,
    " AS given WHERE TRUE \
    ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, times = excluded.times, \
      open_until = excluded.open_until, probes = excluded.probes, \
      probes_max = excluded.probes_max, fault = excluded.fault, changed_at = excluded.changed_at"
);

const REMOVE: Sql =
    sql!("DELETE FROM breaker WHERE key IN (SELECT value->>0 FROM ", ROWS, " AS given)");

type Table = HashMap<BreakerKey, KeptBreaker>;

impl WriteGroup for Moves {
    type Output = Vec<Moved>;

    const TURN: Turn = Turn::Breaker;

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<Vec<Moved>>, StoreError> {
        let moves = || writes.iter().flat_map(|write| &write.0);
        let found = show(connection, moves().map(|one| &one.key)).await?;
        let is_new = |one: &BreakerMove| {
            one.passage.outcome == Outcome::Failure && !found.contains_key(&one.key)
        };
        let mut room = if moves().any(is_new) { room(connection).await? } else { 0 };
        let mut table = found.clone();
        let answer = |write: &Self| {
            Ok(write.0.iter().map(|one| apply(&mut table, one, &mut room)).collect())
        };
        let answers = writes.iter().map(answer).collect();
        put(connection, &found, table).await?;
        Ok(answers)
    }
}

/// Makes one move. `room` is how many more breakers may be kept.
fn apply(table: &mut Table, one: &BreakerMove, room: &mut u32) -> Moved {
    let BreakerMove { key, rule, passage, fault } = one;
    let kept = table.get(key);
    let before = kept.map(|kept| kept.breaker.clone()).unwrap_or_default();
    let after = before.clone().after(rule, *passage);
    if after == before {
        return Moved { before, after };
    }
    if after.is_well() {
        table.remove(key);
        *room = room.saturating_add(1);
        return Moved { before, after };
    }
    if kept.is_none() {
        let Some(left) = room.checked_sub(1) else {
            tracing::warn!(%key, "no more than {BREAKERS_MAX} breakers are kept: this one is not");
            return Moved { after: before.clone(), before };
        };
        *room = left;
    }
    let earlier = kept.and_then(|kept| kept.fault.clone());
    let is_failure = passage.outcome == Outcome::Failure;
    let fault = if is_failure { fault.clone().or(earlier) } else { earlier };
    let (breaker, probes_max, changed_at) = (after.clone(), rule.probes, passage.ended);
    table.insert(key.clone(), KeptBreaker { breaker, probes_max, fault, changed_at });
    Moved { before, after }
}

/// Asks a breaker for a way through.
struct Admit {
    key: BreakerKey,
    now: Timestamp,
    lapses: Timestamp,
}

impl Write for Admit {
    type Output = (Admission, Breaker);

    async fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<(Admission, Breaker), StoreError> {
        let found = show(connection, [&self.key].into_iter()).await?;
        let mut table = found.clone();
        let Some(kept) = table.get_mut(&self.key) else {
            return Ok((Admission::Free, Breaker::default()));
        };
        let admission = kept.breaker.admit(kept.probes_max, self.now, self.lapses);
        let breaker = kept.breaker.clone();
        put(connection, &found, table).await?;
        Ok((admission, breaker))
    }
}

async fn show(
    connection: &mut Connection<'_>,
    keys: impl Iterator<Item = &BreakerKey>,
) -> Result<Table, StoreError> {
    let keys = key_list(keys)?;
    query(SHOW).bind(keys).fetch_all(connection).await?.iter().map(read).collect()
}

/// How many more breakers may be kept.
async fn room(connection: &mut Connection<'_>) -> Result<u32, StoreError> {
    let (count,): (i64,) = query("SELECT count(*) FROM breaker").read_one(connection).await?;
    Ok(BREAKERS_MAX.saturating_sub(row::narrow(count, "count")?))
}

/// Stores what is different from what was found.
async fn put(
    connection: &mut Connection<'_>,
    found: &Table,
    table: Table,
) -> Result<(), StoreError> {
    let gone: Vec<_> = found.keys().filter(|key| !table.contains_key(key)).collect();
    if !gone.is_empty() {
        query(REMOVE).bind(key_list(gone.into_iter())?).execute(connection).await?;
    }
    let changed = table.into_iter().filter(|(key, kept)| found.get(key) != Some(kept));
    let rows = changed.map(|(key, kept)| {
        let (times, probes) = match &kept.breaker {
            Breaker::Closed { .. } => (0, &[][..]),
            Breaker::Open { times, probes, .. } => (*times, &probes[..]),
        };
        let probes: Vec<_> = probes.iter().map(|lapses| lapses.unix_ms()).collect();
        let until = kept.breaker.until().map(Timestamp::unix_ms);
        let fault = kept.fault.as_ref().map(row::text).transpose()?;
        let (failures, changed_at) = (kept.breaker.failures(), kept.changed_at.unix_ms());
        let (probes, most) = (row::text(&probes)?, kept.probes_max);
        Ok((key, failures, times, until, probes, most, fault, changed_at))
    });
    let rows = row::items(rows)?;
    if !rows.is_empty() {
        query(PUT).bind(format!("[{rows}]")).execute(connection).await?;
    }
    Ok(())
}

fn key_list<'a>(keys: impl Iterator<Item = &'a BreakerKey>) -> Result<String, StoreError> {
    row::text(&keys.map(|key| [key]).collect::<Vec<_>>())
}

/// Forgets one breaker by its key, or all whose keys are like a pattern.
enum Reset {
    One(String),
    Alike(String),
}

impl Write for Reset {
    type Output = u64;

    const TURN: Turn = Turn::Breaker;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        const ONE: &str = "DELETE FROM breaker WHERE key = $1";
        const ALIKE: &str = "DELETE FROM breaker WHERE key LIKE $1";
        let reset = match self {
            Self::One(key) => query(ONE).bind(key),
            Self::Alike(pattern) => query(ALIKE).bind(pattern),
        };
        Ok(reset.execute(connection).await?)
    }
}

/// Forgets what is long past.
struct Forget {
    before: Timestamp,
    now: Timestamp,
}

const FORGET: &str = "\
    DELETE FROM breaker \
    WHERE changed_at < $1 AND (open_until IS NULL OR open_until < $2)";

impl Write for Forget {
    type Output = u64;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let forget = query(FORGET).bind(self.before.unix_ms()).bind(self.now.unix_ms());
        Ok(forget.execute(connection).await?)
    }
}

const SHOW_HELD: &str = "\
    SELECT key, open_until, probes_max FROM breaker \
    WHERE open_until IS NOT NULL AND key LIKE 'executor:%'";

/// An executor whose breaker is not closed.
pub(crate) struct HeldExecutor {
    pub(crate) name: String,
    pub(crate) until: Timestamp,
    probes_max: u32,
}

/// The executors whose breakers are not closed.
pub(crate) async fn held_executors(
    connection: &mut Connection<'_>,
) -> Result<Vec<HeldExecutor>, StoreError> {
    read_held(&of_executors().fetch_all(connection).await?)
}

/// The breakers of executors that are not closed.
pub(crate) fn of_executors() -> Query {
    query(SHOW_HELD)
}

fn read_held(rows: &[Row]) -> Result<Vec<HeldExecutor>, StoreError> {
    let read = |row: &Row| {
        let key: &str = row::column(row, "key")?;
        let name = key.strip_prefix(BreakerKey::EXECUTOR).unwrap_or_default().to_owned();
        let probes_max = row::number(row, "probes_max")?;
        Ok(HeldExecutor { name, until: row::moment(row, "open_until")?, probes_max })
    };
    rows.iter().map(read).collect()
}

/// Says of ready tasks which breaker holds them back, by the rows of [`of_executors`].
pub(crate) fn explain(tasks: &mut [Task], held: &[Row]) -> Result<(), StoreError> {
    for HeldExecutor { name, until, .. } in read_held(held)? {
        let of_it = |task: &&mut Task| task.state == TaskState::Ready && task.executor == name;
        for task in tasks.iter_mut().filter(of_it) {
            let breaker = BreakerKey::Executor(name.clone());
            task.held_by = Some(HeldBy { breaker, until });
        }
    }
    Ok(())
}

/// What runs comes first: there is little of it, and no end to the tasks of an executor.
const COUNT_RUNNING: Sql = sql!(
    "\
    WITH running AS MATERIALIZED (SELECT id, attempt, executor FROM task WHERE state = 3) \
    SELECT running.executor, count(*) AS running, \
           count(*) FILTER (WHERE attempt.started_at >= CAST(held.value->>1 AS BIGINT)) AS probing \
    FROM ",
    ROWS,
    " AS held JOIN running ON running.executor = held.value->>0 \
    JOIN attempt ON attempt.task_id = running.id AND attempt.n = running.attempt \
    GROUP BY running.executor"
);

/// How many tasks of some executors may run at once now: those whose breakers are not closed. None
/// while a breaker is open; while it is half-open, beside what runs since before, as many as it may
/// probe.
///
/// The attempts that run are the probes, so a host that ends takes no place along.
pub(crate) async fn allowances(
    connection: &mut Connection<'_>,
    now: Timestamp,
) -> Result<BTreeMap<String, u32>, StoreError> {
    let held = held_executors(connection).await?;
    let half_open = held.iter().filter(|held| held.until <= now);
    let rows: Vec<_> = half_open.map(|held| (&held.name, held.until.unix_ms())).collect();
    let mut running = HashMap::<String, (u32, u32)>::new();
    if !rows.is_empty() {
        for row in query(COUNT_RUNNING).bind(row::text(&rows)?).fetch_all(connection).await? {
            let counts = (row::number(&row, "running")?, row::number(&row, "probing")?);
            running.insert(row::column(&row, "executor")?, counts);
        }
    }
    let allow = |held: HeldExecutor| {
        let (running, probing) = running.get(&held.name).copied().unwrap_or_default();
        let probes = held.probes_max.saturating_sub(probing);
        let most = if held.until <= now { running + probes } else { 0 };
        (held.name, most)
    };
    Ok(held.into_iter().map(allow).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn what_a_claim_asks_is_read_off_indexes() {
        let open = plan(SHOW_HELD.into()).await;
        assert!(open.iter().all(|step| step.contains("breaker_open")), "{open:?}");
        let running = plan(COUNT_RUNNING).await;
        assert!(running.iter().any(|step| step.contains("task_running")), "{running:?}");
        assert!(!running.iter().any(|step| step == "SCAN task"), "{running:?}");
    }

    #[tokio::test]
    async fn breakers_are_found_by_their_keys() {
        for sql in [SHOW, REMOVE, FORGET.into()] {
            let steps = plan(sql).await;
            assert!(!steps.iter().any(|step| step == "SCAN breaker"), "{steps:?}");
        }
    }
}
