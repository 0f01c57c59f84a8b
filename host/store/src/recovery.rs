//! What becomes of the tasks of a session that is over although it was not closed.
//!
//! It does not find out whether a host lives: on a file the lock on its folder proves that none
//! does, on a server the lease is all that counts.

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::plugin::Digest;
use apflow_model::quarantine::QuarantineRule;
use apflow_model::retry::{self, Backoff, Retry};
use apflow_model::state::JobState;

use crate::attempts::{End, Ending};
use crate::blocks;
use crate::connection::{Connection, Row, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::quarantine;
use crate::row;
use crate::sessions::SessionId;
use crate::spending::Spending;
use crate::store::Store;
use crate::write::{Turn, Write, WriteGroup};

/// How many times a task may take its host down before it is quarantined.
pub const HOST_LOSSES_MAX: u32 = 2;

/// What a recovery changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The tasks that were left running and are tried again.
    pub retried: Vec<TaskId>,
    /// The tasks that were left running and have ended: failed for good, or cancelled before.
    pub failed: Vec<TaskId>,
    /// The jobs that ended by that.
    pub jobs_ended: Vec<(JobId, JobState)>,
    /// The components that are not run any more, because hosts ended while they ran.
    pub quarantined: Vec<Digest>,
}

impl Store {
    /// Ends every session but this one, and takes up every task that they left running. Only for
    /// who knows that no other host lives: who holds the lock of a file's folder.
    ///
    /// Each attempt ends with the fault `host-lost`. Its task is ready again, with its checkpoints,
    /// while it has attempts left and took its host down fewer than [`HOST_LOSSES_MAX`] times; else
    /// it has failed. A host that stops cleanly leaves none: see [`Store::close_session`]. A
    /// component that meets `rule` by that is quarantined.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn recover(
        &self,
        session: SessionId,
        now: Timestamp,
        rule: QuarantineRule,
    ) -> Result<Recovered, StoreError> {
        let before = Timestamp::from_unix_ms(i64::MAX);
        self.write(Recover { session, before, now, rule }).await
    }

    /// Ends every other session whose lease has ended before `now`, and takes up every task that
    /// they left running, as [`Store::recover`] does. A session with a live lease is left alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn rescue(
        &self,
        session: SessionId,
        now: Timestamp,
        rule: QuarantineRule,
    ) -> Result<Recovered, StoreError> {
        self.write(Recover { session, before: now, now, rule }).await
    }

    /// When the first of the other sessions loses its lease unless it renews it, perhaps in the
    /// past. None when there is no other.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn next_lease_end(
        &self,
        session: SessionId,
    ) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT lease_until FROM session WHERE ended_at IS NULL AND id <> $1 \
                           ORDER BY lease_until LIMIT 1";
        let next: Option<(i64,)> = self.readers().read_optional(query(SQL).bind(session.0)).await?;
        Ok(next.map(|(next,)| Timestamp::from_unix_ms(next)))
    }
}

struct Recover {
    session: SessionId,
    /// Sessions whose leases ended before this are over.
    before: Timestamp,
    now: Timestamp,
    rule: QuarantineRule,
}

const END_SESSIONS: &str = "\
    UPDATE session SET ended_at = $3 WHERE ended_at IS NULL AND lease_until < $2 AND id <> $1 \
    RETURNING id";

/// The loss is counted here, so that it is counted even when the task has failed by it.
const COUNT_LOSSES: Sql = sql!(
    "\
    UPDATE task SET host_losses = host_losses + 1 \
    WHERE state = 3 AND session_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) RETURNING id, attempt, attempts_max, host_losses"
);

impl Write for Recover {
    type Output = Recovered;

    const TURN: Turn = Turn::Release;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Recovered, StoreError> {
        let over: Vec<(i64,)> = query(END_SESSIONS)
            .bind(self.session.0)
            .bind(self.before.unix_ms())
            .bind(self.now.unix_ms())
            .read_all(connection)
            .await?;
        if over.is_empty() {
            return Ok(Recovered::default());
        }
        let over: Vec<i64> = over.into_iter().map(|(id,)| id).collect();
        blocks::end(connection, &over, true).await?;
        let over = row::text(&over)?;
        let rows = query(COUNT_LOSSES).bind(over).fetch_all(connection).await?;
        let mut left = rows.iter().map(read_left).collect::<Result<Vec<_>, _>>()?;
        left.sort_unstable_by_key(|left| left.task);
        let lost = left.iter().map(|left| (left.task, left.attempt));
        let quarantined = quarantine::count(connection, lost, self.now, self.rule).await?;
        let mut recovered = Recovered { quarantined, ..Recovered::default() };
        let mut endings = Vec::with_capacity(left.len());
        for Left { task, attempt, attempts_max, host_losses } in left {
            let end = after_loss(attempt, attempts_max, host_losses, self.now);
            endings.push(Ending {
                task,
                attempt,
                now: self.now,
                end,
                usage: None,
                events: Vec::new(),
                keeps_checkpoints: true,
                tool: None,
                spending: Spending::unknown(),
            });
        }
        let settled = Ending::apply_group(&endings, connection).await?;
        for (Ending { task, .. }, settled) in endings.iter().zip(settled) {
            let settled = settled?;
            let ended = settled.state.is_end();
            let into = if ended { &mut recovered.failed } else { &mut recovered.retried };
            into.push(*task);
            recovered.jobs_ended.extend(settled.job_ended.map(|end| (settled.job, end)));
        }
        Ok(recovered)
    }
}

/// A task that was left running.
struct Left {
    task: TaskId,
    attempt: u32,
    attempts_max: u32,
    host_losses: u32,
}

fn read_left(row: &Row) -> Result<Left, StoreError> {
    Ok(Left {
        task: TaskId(row::column(row, "id")?),
        attempt: row::number(row, "attempt")?,
        attempts_max: row::number(row, "attempts_max")?,
        host_losses: row::number(row, "host_losses")?,
    })
}

/// How an attempt ends whose host ended: the wait is left out, since the loss need not have been
/// the task's doing.
fn after_loss(attempt: u32, attempts_max: u32, host_losses: u32, now: Timestamp) -> End {
    let fault = |message: String| Fault::new(FaultCode::HostLost, message);
    if host_losses >= HOST_LOSSES_MAX {
        return End::Failed {
            fault: fault(format!(
                "the host ended {host_losses} times while this task ran, so it is quarantined"
            )),
        };
    }
    let fault = fault("the host ended while this attempt was running".to_owned());
    match retry::after(&fault, attempt, attempts_max, &Backoff::default(), 0.0) {
        Retry::After(_) => End::Retry { fault, run_at: now },
        Retry::GiveUp => End::Failed { fault },
    }
}
