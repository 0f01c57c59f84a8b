//! Sessions: one start of the host each, and what became of the work of earlier ones.
//!
//! It does not know whether an earlier session still lives: whoever calls [`Store::recover`]
//! holds the data directory's lock, so none does.

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::retry::{self, Backoff, Retry};
use apflow_model::state::JobState;

use crate::attempts::{End, Ending};
use crate::connection::{Connection, Row, query};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write, WriteGroup};

/// How many times a task may take its host down before it is quarantined.
pub const HOST_LOSSES_MAX: u32 = 2;

/// One start of the host. Never used again by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) i64);

/// What a recovery changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The tasks that were left running and are tried again.
    pub retried: Vec<TaskId>,
    /// The tasks that were left running and have failed for good.
    pub failed: Vec<TaskId>,
    /// The jobs that ended by that.
    pub jobs_ended: Vec<(JobId, JobState)>,
}

impl Store {
    /// Records a start of the host.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn open_session(&self, now: Timestamp) -> Result<SessionId, StoreError> {
        self.write(OpenSession { now }).await
    }

    /// Takes up every task that an earlier session left running.
    ///
    /// Its attempt ends with the fault `host-lost`. It is ready again, with its checkpoints, while
    /// it has attempts left and took its host down fewer than [`HOST_LOSSES_MAX`] times; else it
    /// has failed. A host that stops cleanly leaves none: see [`Store::release`].
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
    ) -> Result<Recovered, StoreError> {
        self.write(Recover { session, now }).await
    }

    /// Gives back every task that still runs in this session, for a clean stop: once no more is
    /// claimed, and the attempts that did not end in time were stopped.
    ///
    /// Each attempt ends with the fault `host-lost`, and can no longer settle. Its task is ready
    /// again, with its checkpoints. The stop is not the task's doing, so it is no host loss, and
    /// the task may be tried once more than before: the number of the attempt stays used up, since
    /// it fences, and `attempts_max` grows by one in its place.
    ///
    /// Returns the tasks that are ready again, in the order of their submission.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then, and the next
    /// start recovers the tasks.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn release(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.write(Release { session, now }).await
    }
}

struct OpenSession {
    now: Timestamp,
}

impl Write for OpenSession {
    type Output = SessionId;

    const TURN: Turn = Turn::Session;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<SessionId, StoreError> {
        const SQL: &str = "INSERT INTO session (started_at) VALUES ($1) RETURNING id";
        let (id,) = query(SQL).bind(self.now.unix_ms()).read_one(connection).await?;
        Ok(SessionId(id))
    }
}

struct Recover {
    session: SessionId,
    now: Timestamp,
}

/// The loss is counted here, so that it is counted even when the task has failed by it.
const COUNT_LOSSES: &str = "\
    UPDATE task SET host_losses = host_losses + 1 WHERE state = 3 AND session_id <> $1 \
    RETURNING id, attempt, attempts_max, host_losses";

impl Write for Recover {
    type Output = Recovered;

    const TURN: Turn = Turn::Session;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Recovered, StoreError> {
        let rows = query(COUNT_LOSSES).bind(self.session.0).fetch_all(connection).await?;
        let mut left = rows.iter().map(read_left).collect::<Result<Vec<_>, _>>()?;
        left.sort_unstable_by_key(|left| left.task);
        let mut recovered = Recovered::default();
        let mut endings = Vec::with_capacity(left.len());
        for Left { task, attempt, attempts_max, host_losses } in left {
            let end = after_loss(attempt, attempts_max, host_losses, self.now);
            let lists = &mut recovered;
            match end {
                End::Retry { .. } => lists.retried.push(task),
                End::Completed { .. } | End::Failed { .. } | End::Cancelled { .. } => {
                    lists.failed.push(task);
                }
            }
            endings.push(Ending {
                task,
                attempt,
                now: self.now,
                end,
                usage: None,
                events: Vec::new(),
                keeps_checkpoints: true,
            });
        }
        for settled in Ending::apply_group(&endings, connection).await? {
            let settled = settled?;
            recovered.jobs_ended.extend(settled.job_ended.map(|end| (settled.job, end)));
        }
        Ok(recovered)
    }
}

/// A task that an earlier session left running.
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

struct Release {
    session: SessionId,
    now: Timestamp,
}

const GIVE_BACK: &str = "\
    UPDATE task SET attempts_max = attempts_max + 1 WHERE state = 3 AND session_id = $1 \
    RETURNING id, attempt";

impl Write for Release {
    type Output = Vec<TaskId>;

    const TURN: Turn = Turn::Release;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Vec<TaskId>, StoreError> {
        let mut held: Vec<(i64, i64)> =
            query(GIVE_BACK).bind(self.session.0).read_all(connection).await?;
        held.sort_unstable();
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
            })
        };
        let endings = held.iter().map(ending).collect::<Result<Vec<_>, StoreError>>()?;
        for settled in Ending::apply_group(&endings, connection).await? {
            settled?;
        }
        Ok(endings.into_iter().map(|ending| ending.task).collect())
    }
}
