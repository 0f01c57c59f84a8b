//! Sessions: a host that runs tasks has one at a time, and keeps it by a heartbeat.
//!
//! A session that missed its lease is over for good: its host opens another. What becomes of the
//! work of a session that is over stands in `recovery`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::TaskId;

use crate::attempts::{End, Ending};
use crate::blocks::{self, GiveBlocksBack};
use crate::budgets::BudgetId;
use crate::connection::{Connection, Query, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::row;
use crate::spending::Spending;
use crate::store::Store;
use crate::tasks::Hold;
use crate::write::{Turn, Write, WriteGroup};

/// The time in which one host runs tasks. Never used again by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) i64);

impl Store {
    /// Begins a session, whose lease ends `lease` after `now` unless [`Store::heartbeat`] renews
    /// it. `name` says to people which host it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn open_session(
        &self,
        name: String,
        now: Timestamp,
        lease: Duration,
    ) -> Result<SessionId, StoreError> {
        self.write(OpenSession { name, now, lease_until: now.after(lease) }).await
    }

    /// Renews the lease of a session until `lease` after `now`.
    ///
    /// # Errors
    ///
    /// [`StoreError::SessionLost`] when the lease had ended before `now`, or the session is over:
    /// it is never brought back, since others may run its tasks by now.
    pub async fn heartbeat(
        &self,
        session: SessionId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), StoreError> {
        self.write(Heartbeat { session, now, lease_until: now.after(lease) }).await
    }

    /// Ends a session, and gives back every task that still runs in it: once no more is claimed,
    /// and the attempts that did not end in time were stopped.
    ///
    /// Each attempt ends with the fault `host-lost`, and can no longer settle. Its task is ready
    /// again, with its checkpoints. The stop is not the task's doing, so it is no host loss, and
    /// the task may be tried once more than before: the number of the attempt stays used up, since
    /// it fences, and `attempts_max` grows by one in its place.
    ///
    /// Returns the tasks that are ready again, in the order of their submission. A session that is
    /// over already has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then, and the tasks
    /// are taken up when the lease has ended, or at the next start.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn close_session(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.write(GiveBack { session, now, kept: Vec::new(), ends: true }).await
    }

    /// Gives back, as [`Store::close_session`] does, the tasks of a session that goes on, but those
    /// that are `kept`: what a claim took whose answer was lost, so that nobody runs it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    pub async fn give_back_all_but(
        &self,
        session: SessionId,
        kept: Vec<TaskId>,
        now: Timestamp,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.write(GiveBack { session, now, kept, ends: false }).await
    }

    /// Gives back what a session holds of budgets in blocks and did not hand out. Answers whether
    /// tasks became ready that waited for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is given back then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn give_blocks_back(
        &self,
        session: SessionId,
        amounts: Vec<(BudgetId, u64)>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(GiveBlocksBack { session: session.0, amounts, now }).await
    }

    /// The attempts that run in a session.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn held(
        &self,
        session: SessionId,
    ) -> Result<HashMap<(TaskId, u32), Hold>, StoreError> {
        const SQL: &str = "SELECT id, attempt, cancel_at IS NOT NULL FROM task \
                           WHERE state = 3 AND session_id = $1";
        let find = query(SQL).bind(session.0);
        let rows: Vec<(i64, i64, bool)> = self.readers().read_all(find).await?;
        let read = |(task, attempt, is_cancelled)| {
            let hold = if is_cancelled { Hold::Cancelled } else { Hold::Held };
            Ok(((TaskId(task), row::narrow(attempt, "attempt")?), hold))
        };
        rows.into_iter().map(read).collect()
    }

    /// The tasks that run, on whichever host.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn running_tasks(&self) -> Result<HashSet<TaskId>, StoreError> {
        const SQL: &str = "SELECT id FROM task WHERE state = 3";
        let rows: Vec<(i64,)> = self.readers().read_all(query(SQL)).await?;
        Ok(rows.into_iter().map(|(id,)| TaskId(id)).collect())
    }
}

struct OpenSession {
    name: String,
    now: Timestamp,
    lease_until: Timestamp,
}

impl Write for OpenSession {
    type Output = SessionId;

    const TURN: Turn = Turn::Session;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<SessionId, StoreError> {
        const SQL: &str = "INSERT INTO session (name, started_at, lease_until) \
                           VALUES ($1, $2, $3) RETURNING id";
        let (id,) = query(SQL)
            .bind(&self.name)
            .bind(self.now.unix_ms())
            .bind(self.lease_until.unix_ms())
            .read_one(connection)
            .await?;
        Ok(SessionId(id))
    }
}

/// Asks which of these sessions hold their leases, each at its moment.
pub(crate) fn ask_held(sessions: &HashMap<SessionId, Timestamp>) -> Result<Query, StoreError> {
    const SQL: Sql = sql!(
        "SELECT session.id FROM ",
        ROWS,
        " AS asked JOIN session ON session.id = CAST(asked.value->>0 AS BIGINT) \
         WHERE session.ended_at IS NULL \
           AND session.lease_until >= CAST(asked.value->>1 AS BIGINT)"
    );
    let asked = sessions.iter().map(|(session, now)| (session.0, now.unix_ms()));
    Ok(query(SQL).bind(row::text(&asked.collect::<Vec<_>>())?))
}

/// What was answered to [`ask_held`].
pub(crate) fn read_held(rows: &[Row]) -> Result<HashSet<SessionId>, StoreError> {
    let read = |row: &Row| row.read().map(|(id,)| SessionId(id));
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

struct Heartbeat {
    session: SessionId,
    now: Timestamp,
    lease_until: Timestamp,
}

impl Write for Heartbeat {
    type Output = ();

    const TURN: Turn = Turn::Session;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE session SET lease_until = $3 \
                           WHERE id = $1 AND ended_at IS NULL AND lease_until >= $2";
        let renewed = query(SQL)
            .bind(self.session.0)
            .bind(self.now.unix_ms())
            .bind(self.lease_until.unix_ms())
            .execute(connection)
            .await?;
        if renewed == 0 { Err(StoreError::SessionLost) } else { Ok(()) }
    }
}

struct GiveBack {
    session: SessionId,
    now: Timestamp,
    kept: Vec<TaskId>,
    /// Whether the session ends by it.
    ends: bool,
}

const GIVE_BACK: Sql = sql!(
    "\
    UPDATE task SET attempts_max = attempts_max + 1, attempts_before = attempts_before + 1 \
    WHERE state = 3 AND session_id = $2 \
      AND id NOT IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) RETURNING id, attempt"
);

const END_SESSION: &str = "UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

impl Write for GiveBack {
    type Output = Vec<TaskId>;

    const TURN: Turn = Turn::Release;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Vec<TaskId>, StoreError> {
        let kept = row::text(&self.kept.iter().map(|task| task.0).collect::<Vec<_>>())?;
        let mut given: Vec<(i64, i64)> =
            query(GIVE_BACK).bind(kept).bind(self.session.0).read_all(connection).await?;
        given.sort_unstable();
        let fault = Fault::new(FaultCode::HostLost, "the host was stopped");
        let ending = |(task, attempt): &(i64, i64)| {
            Ok(Ending {
                task: TaskId(*task),
                attempt: row::narrow(*attempt, "attempt")?,
                now: self.now,
                end: End::Retry { fault: fault.clone(), run_at: self.now },
                usage: None,
                events: Vec::new(),
                keeps_checkpoints: true,
                tool: None,
                spending: Spending::unknown(),
            })
        };
        let endings = given.iter().map(ending).collect::<Result<Vec<_>, StoreError>>()?;
        let settled = Ending::apply_group(&endings, connection).await?;
        if self.ends {
            // What an attempt handed out of a block that did not end itself, nobody knows.
            blocks::end(connection, &[self.session.0], !endings.is_empty()).await?;
            let end = query(END_SESSION).bind(self.session.0).bind(self.now.unix_ms());
            end.execute(connection).await?;
        }
        let mut given_back = Vec::with_capacity(endings.len());
        for (Ending { task, .. }, settled) in endings.into_iter().zip(settled) {
            // One that was cancelled before has ended.
            if !settled?.state.is_end() {
                given_back.push(task);
            }
        }
        Ok(given_back)
    }
}
