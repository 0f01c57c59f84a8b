//! Tasks that are parked until somebody approves their tool, and what was decided.
//!
//! It does not say who may decide: the verbs do. Which tasks ask for it, their tools and the roles that
//! submitted them say. A claim parks, so that it does not matter how a task
//! became ready; and nothing is asked twice, whatever attempts come after.

use std::collections::{BTreeSet, HashMap, HashSet};

use apflow_model::approval::{Approval, Decided, Decision, ParkedFor, PendingApproval};
use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::job::Task;
use apflow_model::state::{JobState, TaskState};

use crate::connection::{Connection, Query, Row, query};
use crate::dependents;
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::row;
use crate::store::Store;
use crate::write::{Turn, Write};

/// The most approvals one page holds: each comes with the inputs of its task.
pub const APPROVALS_PER_PAGE_MAX: u32 = 100;

/// A page of the tasks that wait for an approval, those that were accepted first at first.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalPage {
    /// The tasks.
    pub approvals: Vec<PendingApproval>,
    /// What to pass as `after` for the next page. None on the last one.
    pub next: Option<TaskId>,
}

/// What became of the wish to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It was decided now.
    Made(Ruled),
    /// It was decided before, and stays as it was.
    Earlier(Decided),
    /// Nobody was asked about this task. It is in this state.
    NotAsked(TaskState),
    /// There is no such task.
    Unknown,
}

/// What a decision changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruled {
    /// The job of the task.
    pub job: JobId,
    /// The tasks that became ready: this one, or those that only had to wait for its end.
    pub became_ready: Vec<TaskId>,
    /// When the earliest task that became scheduled is due.
    pub next_run_at: Option<Timestamp>,
    /// How the job ended, when no task is left.
    pub job_ended: Option<JobState>,
}

impl Store {
    /// Decides whether a parked task may run its tool.
    ///
    /// Approved, it is ready, and stays approved for all its attempts until it is redriven. Denied,
    /// it has failed with the fault `denied`, with all that follows from it. Who decides again
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn rule(&self, task: TaskId, decided: Decided) -> Result<Ruling, StoreError> {
        self.write(Rule { task, decided }).await
    }

    /// Lists tasks that wait for an approval, of one owner or of all, with ids above `after`. `limit`
    /// is brought into 1 to [`APPROVALS_PER_PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_approvals(
        &self,
        owner: Option<&str>,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<ApprovalPage, StoreError> {
        let limit = limit.clamp(1, APPROVALS_PER_PAGE_MAX);
        let list = query(PENDING)
            .bind(after.map_or(0, |task| task.0))
            .bind(owner.map(str::to_owned))
            .bind(limit + 1);
        let rows = self.readers().fetch_all(list).await?;
        let mut approvals = rows.iter().map(read_pending).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = approvals.len() > wanted;
        approvals.truncate(wanted);
        let next = approvals.last().filter(|_| has_more).map(|last| last.task_id);
        Ok(ApprovalPage { approvals, next })
    }
}

const PENDING: &str = "\
    SELECT task.id, task.job_id, task.reference, task.name, task.deadline, job.principal, \
           approval.tool, approval.asked_at, task_input.body \
    FROM task JOIN job ON job.id = task.job_id \
    JOIN approval ON approval.task_id = task.id AND approval.decided_at IS NULL \
    JOIN task_input ON task_input.task_id = task.id \
    WHERE task.state = 4 AND task.id > $1 AND job.principal = COALESCE($2, job.principal) \
    ORDER BY task.id LIMIT $3";

const PARK: Sql = sql!(
    "\
    UPDATE task SET state = 4 \
    WHERE state + 0 = 2 AND id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given) AND (needs_approval OR EXISTS (SELECT 1 FROM tool_rule \
                                    WHERE tool = task.executor AND tool_rule.needs_approval)) \
       AND NOT EXISTS (SELECT 1 FROM approval WHERE task_id = task.id \
                         AND tool = task.executor AND is_approved) \
    RETURNING job_id, id, executor"
);

/// An earlier answer to the same question counts no more: the task would not be asked again.
const ASK: Sql = sql!(
    "\
    INSERT INTO approval (task_id, tool, asked_at) \
    SELECT CAST(value->>1 AS BIGINT), value->>2, $2 FROM ",
    ROWS,
    " AS given WHERE TRUE \
    ON CONFLICT (task_id, tool) DO UPDATE SET asked_at = excluded.asked_at, \
      is_approved = NULL, principal = NULL, reason = NULL, decided_at = NULL"
);

/// Tasks that a claim has parked.
#[derive(Default)]
pub(crate) struct Parked {
    /// Their jobs.
    pub(crate) jobs: BTreeSet<JobId>,
    /// The tasks.
    pub(crate) tasks: HashSet<i64>,
    /// What is to be told of it.
    pub(crate) drafts: Vec<Draft>,
}

/// Parks those of these ready tasks whose tools need an approval that nobody gave.
pub(crate) async fn park(
    connection: &mut Connection<'_>,
    chosen: &[i64],
    now: Timestamp,
) -> Result<Parked, StoreError> {
    let mut parked = Parked::default();
    if chosen.is_empty() {
        return Ok(parked);
    }
    let mut rows: Vec<(i64, i64, String)> =
        query(PARK).bind(row::text(chosen)?).read_all(connection).await?;
    if rows.is_empty() {
        return Ok(parked);
    }
    rows.sort_unstable();
    query(ASK).bind(row::text(&rows)?).bind(now.unix_ms()).execute(connection).await?;
    for (job, task, tool) in rows {
        parked.tasks.insert(task);
        let (job, task) = (JobId(job), TaskId(task));
        let what = Happening::ApprovalAsked { tool };
        parked.drafts.push(Draft::of_state(job, task, TaskState::Parked, now));
        parked.drafts.push(Draft { job, task: Some(task), attempt: 0, at: now, what });
        parked.jobs.insert(job);
    }
    Ok(parked)
}

const FORGET: Sql = sql!(
    "DELETE FROM approval WHERE task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

/// Forgets what was decided of tasks that are redriven: their events still tell it.
pub(crate) async fn forget(
    connection: &mut Connection<'_>,
    tasks: &[i64],
) -> Result<(), StoreError> {
    query(FORGET).bind(row::text(tasks)?).execute(connection).await?;
    Ok(())
}

struct Rule {
    task: TaskId,
    decided: Decided,
}

const FIND: &str = "\
    SELECT task.job_id, task.state FROM task JOIN job ON job.id = task.job_id \
    WHERE task.id = $1 AND job.purged_at IS NULL";

const LAST: &str = "\
    SELECT * FROM approval WHERE task_id = $1 AND decided_at IS NOT NULL \
    ORDER BY decided_at DESC LIMIT 1";

const DECIDE: &str = "\
    UPDATE approval SET is_approved = $2, principal = $3, reason = $4, decided_at = $5 \
    WHERE task_id = $1 AND decided_at IS NULL \
      AND EXISTS (SELECT 1 FROM task WHERE id = $1 AND state = 4) RETURNING task_id";

const READY: &str = "UPDATE task SET state = 2 WHERE id = $1 AND state = 4";

const FAIL: &str =
    "UPDATE task SET state = 9, fault = $2, ended_at = $3 WHERE id = $1 AND state = 4";

impl Write for Rule {
    type Output = Ruling;

    const TURN: Turn = Turn::Release;

    fn is_change(ruling: &Ruling) -> bool {
        matches!(ruling, Ruling::Made(_))
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Ruling, StoreError> {
        let found = query(FIND).bind(self.task.0).read_optional(connection).await?;
        let Some((job, state)): Option<(i64, i64)> = found else { return Ok(Ruling::Unknown) };
        let Decided { decision, ref principal, ref reason, at } = self.decided;
        let decide = query(DECIDE)
            .bind(self.task.0)
            .bind(decision == Decision::Approved)
            .bind(principal.as_str())
            .bind(reason.as_ref().map(|reason| reason.as_str().to_owned()))
            .bind(at.unix_ms());
        if decide.fetch_optional(connection).await?.is_none() {
            let last = query(LAST).bind(self.task.0).fetch_optional(connection).await?;
            let last = last.as_ref().map(read).transpose()?;
            let earlier = last.and_then(|(_, approval)| approval.decided);
            let not_asked = || row::state_of(state).map(Ruling::NotAsked);
            return earlier.map_or_else(not_asked, |earlier| Ok(Ruling::Earlier(earlier)));
        }
        let job = JobId(job);
        let what = Happening::ApprovalDecided(self.decided.clone());
        let drafts = vec![Draft { job, task: Some(self.task), attempt: 0, at, what }];
        Ok(Ruling::Made(match decision {
            Decision::Approved => self.approve(connection, job, drafts).await?,
            Decision::Denied => self.deny(connection, job, drafts).await?,
        }))
    }
}

impl Rule {
    /// Makes the task ready.
    async fn approve(
        &self,
        connection: &mut Connection<'_>,
        job: JobId,
        mut drafts: Vec<Draft>,
    ) -> Result<Ruled, StoreError> {
        query(READY).bind(self.task.0).execute(connection).await?;
        drafts.push(Draft::of_state(job, self.task, TaskState::Ready, self.decided.at));
        events::append(connection, drafts).await?;
        Ok(Ruled { job, became_ready: vec![self.task], next_run_at: None, job_ended: None })
    }

    /// Fails the task, and moves what waited for it.
    async fn deny(
        &self,
        connection: &mut Connection<'_>,
        job: JobId,
        mut drafts: Vec<Draft>,
    ) -> Result<Ruled, StoreError> {
        let (at, code) = (self.decided.at, TaskState::Failed.code());
        let fault = self.fault();
        let fail = query(FAIL).bind(self.task.0).bind(row::text(&fault)?).bind(at.unix_ms());
        fail.execute(connection).await?;
        let place = (job, self.task, 0);
        drafts.push(Draft::of_attempt_state(place, TaskState::Failed, Some(fault), at));
        let moved = dependents::resolve(connection, vec![(self.task.0, code)], at).await?;
        drafts.extend(moved.iter().map(|moved| Draft::of_moved(moved, at)));
        events::append(connection, drafts).await?;
        let skipped = moved.iter().filter(|moved| moved.state.is_end()).map(|moved| moved.job.0);
        let ended = std::iter::once(job.0).chain(skipped);
        let jobs_ended = dependents::close(connection, ended, at).await?;
        let in_state = |state| moved.iter().filter(move |moved| moved.state == state);
        Ok(Ruled {
            job,
            became_ready: in_state(TaskState::Ready).map(|moved| moved.task).collect(),
            next_run_at: in_state(TaskState::Scheduled).map(|moved| moved.run_at).min(),
            job_ended: jobs_ended.first().map(|(_, end)| *end),
        })
    }

    fn fault(&self) -> Fault {
        let Decided { principal, reason, .. } = &self.decided;
        let reason = reason.as_ref().map(|reason| format!(": {}", reason.as_str()));
        let message = format!("{principal} denied it{}", reason.unwrap_or_default());
        Fault::new(FaultCode::Denied, message)
    }
}

/// Reads a row of `approval`, with the task that it is of.
fn read(row: &Row) -> Result<(TaskId, Approval), StoreError> {
    let decided = match row::column::<Option<bool>>(row, "is_approved")? {
        None => None,
        Some(is_approved) => {
            let reason: Option<String> = row::column(row, "reason")?;
            let reason = reason.map(|reason| reason.parse().map_err(StoreError::corrupt));
            Some(Decided {
                decision: if is_approved { Decision::Approved } else { Decision::Denied },
                principal: row::column(row, "principal")?,
                reason: reason.transpose()?,
                at: row::moment(row, "decided_at")?,
            })
        }
    };
    let asked_at = row::moment(row, "asked_at")?;
    let approval = Approval { tool: row::column(row, "tool")?, asked_at, decided };
    Ok((TaskId(row::column(row, "task_id")?), approval))
}

fn read_pending(row: &Row) -> Result<PendingApproval, StoreError> {
    Ok(PendingApproval {
        task_id: TaskId(row::column(row, "id")?),
        job_id: JobId(row::column(row, "job_id")?),
        reference: row::column(row, "reference")?,
        name: row::column(row, "name")?,
        principal: row::column(row, "principal")?,
        tool: row::column(row, "tool")?,
        inputs: row::json(row, "body")?,
        asked_at: row::moment(row, "asked_at")?,
        deadline: row::perhaps_moment(row, "deadline")?,
    })
}

/// What somebody was asked to approve of a job.
pub(crate) fn of_job(job: JobId) -> Query {
    const SQL: &str = "SELECT approval.* FROM task JOIN approval ON approval.task_id = task.id \
                       WHERE task.job_id = $1 ORDER BY approval.asked_at, approval.tool";
    query(SQL).bind(job.0)
}

/// Says of the tasks of a job what somebody was asked to approve, by the rows of [`of_job`].
pub(crate) fn tell_all(tasks: &mut [Task], rows: &[Row]) -> Result<(), StoreError> {
    let mut of_tasks = HashMap::<TaskId, Vec<Approval>>::new();
    for row in rows {
        let (task, approval) = read(row)?;
        of_tasks.entry(task).or_default().push(approval);
    }
    for task in tasks {
        tell(task, of_tasks.remove(&task.id).unwrap_or_default());
    }
    Ok(())
}

/// Says of one task what somebody was asked to approve.
pub(crate) async fn of_task(
    connection: &mut Connection<'_>,
    task: &mut Task,
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT * FROM approval WHERE task_id = $1 ORDER BY asked_at, tool";
    let rows = query(SQL).bind(task.id.0).fetch_all(connection).await?;
    let approvals = rows.iter().map(|row| Ok(read(row)?.1)).collect::<Result<_, StoreError>>()?;
    tell(task, approvals);
    Ok(())
}

fn tell(task: &mut Task, approvals: Vec<Approval>) {
    let waits = approvals.iter().any(|approval| approval.decided.is_none());
    let parked_for = if waits { ParkedFor::Approval } else { ParkedFor::Budget };
    task.parked_for = (task.state == TaskState::Parked).then_some(parked_for);
    task.approvals = approvals;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::plan;

    #[tokio::test]
    async fn tasks_and_approvals_are_found_by_their_indexes() {
        for sql in [PENDING.into(), PARK, ASK, FORGET, FIND.into(), LAST.into(), DECIDE.into()] {
            let steps = plan(sql).await;
            for table in ["task", "approval", "job", "task_input", "tool_rule"] {
                let scan = format!("SCAN {table}");
                let is_scan = |step: &String| *step == scan;
                assert!(!steps.iter().any(is_scan), "{}: {steps:?}", sql.sqlite);
            }
        }
        let pending = plan(PENDING.into()).await;
        assert!(pending.iter().any(|step| step.contains("task_parked")), "{pending:?}");
    }

    #[test]
    fn the_states_in_the_statements_are_the_models() {
        let codes = [TaskState::Ready, TaskState::Parked, TaskState::Failed];
        assert_eq!(codes.map(TaskState::code), [2, 4, 9]);
    }
}
