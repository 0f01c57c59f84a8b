//! Deadlines that pass while a task waits.
//!
//! It stops no attempt: whoever runs one cuts its time to the deadline.

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};

use crate::connection::{Connection, query};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::{dependents, row};

/// The most waiting tasks that one claim fails because of their deadlines. A claim that leaves some
/// behind makes [`Store::next_run_at`](crate::Store::next_run_at) a moment in the past, so the next
/// one comes at once.
pub const EXPIRED_PER_CLAIM_MAX: u32 = 1_000;

/// A task that has failed because its deadline passed while it waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Its job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
}

pub(crate) const EXPIRE: Sql = sql!(
    "\
    UPDATE task SET state = 9, fault = $3, ended_at = $1 \
    WHERE id IN ( \
      SELECT id FROM task \
      WHERE deadline IS NOT NULL AND state < 8 AND state <> 3 AND deadline <= $1 \
      ORDER BY deadline LIMIT $2 \
    ) \
    RETURNING job_id, id"
);

/// Fails the waiting tasks whose deadlines have passed, with all that follows from it. Answers them
/// in the order of their submission, and the jobs that ended by that.
pub(crate) async fn expire(
    connection: &mut Connection<'_>,
    now: Timestamp,
) -> Result<(Vec<Expired>, Vec<(JobId, JobState)>), StoreError> {
    let fault = Fault::new(FaultCode::DeadlineExceeded, "the deadline passed while it waited");
    let mut ended: Vec<(i64, i64)> = query(EXPIRE)
        .bind(now.unix_ms())
        .bind(EXPIRED_PER_CLAIM_MAX)
        .bind(row::text(&fault)?)
        .read_all(connection)
        .await?;
    if ended.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    ended.sort_unstable_by_key(|(_, task)| *task);
    let code = TaskState::Failed.code();
    let moved = ended.iter().map(|(_, task)| (*task, code)).collect();
    let moved = dependents::resolve(connection, moved, now).await?;
    let failed = |(job, task): &(i64, i64)| {
        let place = (JobId(*job), TaskId(*task), 0);
        Draft::of_attempt_state(place, TaskState::Failed, Some(fault.clone()), now)
    };
    let mut drafts: Vec<_> = ended.iter().map(failed).collect();
    drafts.extend(moved.iter().map(|moved| Draft::of_moved(moved, now)));
    events::append(connection, drafts).await?;
    let skipped = moved.iter().filter(|moved| moved.state.is_end()).map(|moved| moved.job.0);
    let jobs = ended.iter().map(|(job, _)| *job).chain(skipped);
    let jobs_ended = dependents::close(connection, jobs, now).await?;
    let expired = |(job, task)| Expired { job: JobId(job), task: TaskId(task) };
    Ok((ended.into_iter().map(expired).collect(), jobs_ended))
}
