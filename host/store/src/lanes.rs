//! Lanes: the tasks of one principal, one executor and one concurrency key, and which of them are
//! ready.
//!
//! It counts nothing itself: triggers of the database keep the table `tally`, whatever statement
//! moves a task.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use apflow_model::clock::Timestamp;
use apflow_model::concurrency::ConcurrencyKey;
use apflow_model::fair::{Head, Lane, Turns};
use apflow_model::id::TaskId;
use apflow_model::job::TaskSpec;
use apflow_model::state::TaskState;

use crate::connection::{Connection, Query, Row, query};
use crate::dialect::{FIRST_OF_LANES, FIRST_OF_READY, Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::write::{Turn, Write};

/// What tells lanes apart, as the JSON of a row of [`INSERT`]: the principal, the executor, the
/// concurrency key, empty for none, and how many of its tasks may run at once, 0 for none.
pub(crate) fn name(principal: &str, task: &TaskSpec) -> Result<String, StoreError> {
    let (key, key_max) = task.concurrency.as_ref().map_or(("", 0), |key| (&*key.key, key.max));
    row::text(&(principal, &task.executor, key, key_max))
}

/// The most lanes that are known by heart.
const KNOWN_MAX: usize = 10_000;

/// The ids of lanes that are stored, by [`name`].
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<String, i64>>);

impl Known {
    /// The ids of those of these lanes that are known.
    pub(crate) fn find(&self, names: &[String]) -> HashMap<String, i64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = names.iter().filter_map(|name| known.get_key_value(name));
        found.map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// Learns the ids of lanes that are stored.
    pub(crate) fn learn(&self, made: &HashMap<String, i64>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.extend(made.iter().map(|(name, id)| (name.clone(), *id)));
    }
}

/// Lanes to be made, by [`name`].
pub(crate) struct Make(pub(crate) BTreeSet<String>);

pub(crate) const INSERT: Sql = sql!(
    "\
    INSERT INTO lane (principal, executor, key, key_max) \
    SELECT new.value->>0, new.value->>1, new.value->>2, CAST(new.value->>3 AS BIGINT) FROM ",
    ROWS,
    " AS new \
    WHERE NOT EXISTS (SELECT 1 FROM lane WHERE lane.principal = new.value->>0 \
                        AND lane.executor = new.value->>1 AND lane.key = new.value->>2 \
                        AND lane.key_max = CAST(new.value->>3 AS BIGINT))"
);

pub(crate) const FIND: Sql = sql!(
    "\
    SELECT lane.principal, lane.executor, lane.key, lane.key_max, lane.id FROM ",
    ROWS,
    " AS wanted \
    JOIN lane ON lane.principal = wanted.value->>0 AND lane.executor = wanted.value->>1 \
      AND lane.key = wanted.value->>2 AND lane.key_max = CAST(wanted.value->>3 AS BIGINT)"
);

impl Write for Make {
    type Output = HashMap<String, i64>;

    const TURN: Turn = Turn::Submit;

    /// The job that a lane is made for is what is recorded.
    fn is_change(_: &Self::Output) -> bool {
        false
    }

    fn makes_work(_: &Self::Output) -> bool {
        false
    }

    async fn apply(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<HashMap<String, i64>, StoreError> {
        let Some(rows) = row::array(self.0.iter().map(String::as_str)) else {
            return Ok(HashMap::new());
        };
        query(INSERT).bind(&rows).execute(connection).await?;
        let made: Vec<(String, String, String, i64, i64)> =
            query(FIND).bind(rows).read_all(connection).await?;
        let named = |(principal, executor, key, key_max, id)| {
            Ok((row::text(&(principal, executor, key, key_max))?, id))
        };
        made.into_iter().map(named).collect()
    }
}

/// The most lanes with ready tasks that are looked at together. Where there are more, claims go
/// round them.
pub(crate) const LANES_TOGETHER_MAX: u32 = 500;

/// What one claim leaves to the next of the same process.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// When each principal was last given a place.
    pub(crate) turns: Turns,
    /// The lane after which the next claim begins.
    pub(crate) after: i64,
}

/// One round of all lanes with ready tasks, from any of them.
#[derive(Debug)]
pub(crate) struct Round {
    start: i64,
    /// The last lane that was looked at, or 0.
    pub(crate) after: i64,
    /// Whether it has passed the last lane of all.
    has_turned: bool,
    /// Whether every lane was looked at.
    pub(crate) is_done: bool,
}

impl Round {
    pub(crate) fn from(start: i64) -> Self {
        Self { start, after: start, has_turned: false, is_done: false }
    }

    /// Goes on after lanes that were looked at together.
    fn pass(&mut self, ready: &[Lane]) {
        let is_full = u32::try_from(ready.len()).is_ok_and(|count| count >= LANES_TOGETHER_MAX);
        if let Some(last) = ready.last().filter(|_| is_full) {
            self.after = last.id;
        } else {
            self.is_done = self.has_turned || self.start == 0;
            (self.after, self.has_turned) = (0, true);
        }
        self.is_done |= self.has_turned && self.after >= self.start;
    }
}

/// Of how many lanes the first ready tasks are looked for at once with them: mostly there are no more.
const LANES_AT_ONCE: u32 = 2;

/// Every lane with running tasks, then the next of those with ready ones.
pub(crate) const SHOW: &str = "\
    SELECT lane.id, lane.principal, lane.executor, lane.key, lane.key_max, tally.state, tally.n \
    FROM tally JOIN lane ON lane.id = tally.lane_id WHERE tally.state = 3 \
    UNION ALL \
    SELECT lane.id, lane.principal, lane.executor, lane.key, lane.key_max, ready.state, ready.n \
    FROM (SELECT lane_id, state, n FROM tally WHERE state = 2 AND lane_id > $1 \
          ORDER BY lane_id LIMIT $2) AS ready \
    JOIN lane ON lane.id = ready.lane_id";

/// The lanes after `after` that have ready tasks, all that have running ones, and of the first few
/// the first `depth` ready tasks.
pub(crate) fn look(after: i64, depth: u32) -> [Query; 2] {
    let lanes = query(SHOW).bind(after).bind(LANES_TOGETHER_MAX);
    [lanes, query(FIRST_OF_READY).bind(after).bind(LANES_AT_ONCE).bind(depth)]
}

/// The next lanes of a round with ready tasks, and all with running ones, of those that
/// [`look`] found.
pub(crate) fn next(rows: &[Row], round: &mut Round) -> Result<(Vec<Lane>, Vec<Lane>), StoreError> {
    let (mut ready, mut running) = (Vec::new(), Vec::new());
    for row in rows {
        let state = row::state(row, "state")?;
        let list = if state == TaskState::Ready { &mut ready } else { &mut running };
        list.push(read(row)?);
    }
    ready.sort_unstable_by_key(|lane| lane.id);
    round.pass(&ready);
    Ok((ready, running))
}

/// The first `depth` ready tasks of each lane, in order.
pub(crate) async fn heads(
    connection: &mut Connection<'_>,
    lanes: &[i64],
    depth: u32,
) -> Result<HashMap<i64, Vec<Head>>, StoreError> {
    let mut heads: HashMap<i64, Vec<Head>> = lanes.iter().map(|lane| (*lane, Vec::new())).collect();
    let found = query(FIRST_OF_LANES).bind(row::text(lanes)?).bind(depth);
    heads.extend(read_heads(&found.fetch_all(connection).await?)?);
    Ok(heads)
}

/// Reads the ready tasks that [`look`] found, in order.
pub(crate) fn read_heads(rows: &[Row]) -> Result<HashMap<i64, Vec<Head>>, StoreError> {
    let mut heads: HashMap<i64, Vec<Head>> = HashMap::new();
    for row in rows {
        let (lane, priority, run_at, task): (i64, i64, i64, i64) = row.read()?;
        let priority = row::narrow(priority, "priority")?;
        let run_at = Timestamp::from_unix_ms(run_at);
        heads.entry(lane).or_default().push(Head { priority, run_at, task: TaskId(task) });
    }
    for heads in heads.values_mut() {
        heads.sort_unstable();
    }
    Ok(heads)
}

/// Reads a row with the columns of a lane and the count of a tally.
pub(crate) fn read(row: &Row) -> Result<Lane, StoreError> {
    Ok(Lane {
        id: row::column(row, "id")?,
        principal: row::column(row, "principal")?,
        executor: row::column(row, "executor")?,
        key: key(row)?,
        tasks: row::number(row, "n")?,
    })
}

/// Reads the concurrency key of a row with the columns of a lane.
pub(crate) fn key(row: &Row) -> Result<Option<ConcurrencyKey>, StoreError> {
    let (key, max): (String, u32) = (row::column(row, "key")?, row::number(row, "key_max")?);
    Ok((max > 0).then_some(ConcurrencyKey { key, max }))
}
