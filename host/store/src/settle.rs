//! The ends of many attempts, stored by one set of statements, with all that follows from them.
//!
//! It does not decide about retries, and tells nobody: what became ready is answered.

use std::collections::{BTreeMap, HashMap, HashSet};

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::{JobId, TaskId};
use apflow_model::state::{JobState, TaskState};

use crate::attempts::{End, Ending, Settled};
use crate::charges;
use crate::connection::{Connection, query};
use crate::dependents::{self, Moved};
use crate::dialect::{Sql, sql};
use crate::error::StoreError;
use crate::events::{self, Draft};
use crate::fallbacks;
use crate::files;
use crate::row;
use crate::tool_runs;
use crate::write::{Answers, Turn, WriteGroup};

/// Only the attempt that holds a task ends it: this is the fence. A task that somebody cancelled
/// ends as cancelled, unless it has completed.
const END_TASKS: Sql = sql!(
    "\
    UPDATE task SET state = CASE WHEN cancel_at IS NOT NULL AND ending.value->>6 IS NOT NULL \
                                 THEN 10 ELSE CAST(ending.value->>2 AS BIGINT) END, \
                    session_id = NULL, \
                    run_at = coalesce(CAST(ending.value->>3 AS BIGINT), run_at), \
                    fault = CASE WHEN cancel_at IS NOT NULL THEN ending.value->>6 \
                                 ELSE ending.value->>4 END, \
                    ended_at = CASE WHEN cancel_at IS NOT NULL \
                                      OR CAST(ending.value->>2 AS BIGINT) >= 8 \
                                    THEN CAST(ending.value->>5 AS BIGINT) END \
    FROM ",
    ROWS,
    " AS ending \
    WHERE task.id = CAST(ending.value->>0 AS BIGINT) \
      AND task.attempt = CAST(ending.value->>1 AS BIGINT) AND task.state + 0 = 3 \
    RETURNING id, job_id, cancel_at IS NOT NULL, \
              (SELECT task_count FROM job WHERE job.id = job_id) = 1, \
              EXISTS (SELECT 1 FROM checkpoint WHERE task_id = task.id)"
);

const END_ATTEMPTS: Sql = sql!(
    "\
    UPDATE attempt SET ended_at = CAST(ending.value->>2 AS BIGINT), fault = ending.value->>3, \
                       usage = ending.value->>4 \
    FROM ",
    ROWS,
    " AS ending \
    WHERE attempt.task_id = CAST(ending.value->>0 AS BIGINT) \
      AND attempt.n = CAST(ending.value->>1 AS BIGINT)"
);

pub(crate) const INSERT_OUTPUTS: Sql = sql!(
    "INSERT INTO task_output (task_id, body) SELECT CAST(value->>0 AS BIGINT), value->>1 FROM ",
    EACH
);

const DROP_CHECKPOINTS: Sql = sql!(
    "DELETE FROM checkpoint WHERE task_id IN (SELECT CAST(value AS BIGINT) FROM ",
    ROWS,
    " AS given)"
);

const CHANGE_JOBS: Sql = sql!(
    "\
    UPDATE job SET event_count = event_count + CAST(change.value->>1 AS BIGINT), \
                   open_count = open_count - CAST(change.value->>2 AS BIGINT), \
                   state = coalesce(change.value->>3, state), \
                   ended_at = coalesce(CAST(change.value->>4 AS BIGINT), ended_at) \
    FROM ",
    ROWS,
    " AS change WHERE job.id = CAST(change.value->>0 AS BIGINT) \
    RETURNING job.id, job.event_count, job.open_count"
);

impl WriteGroup for Ending {
    type Output = Settled;

    const TURN: Turn = Turn::Settle;

    fn makes_work(settled: &Settled) -> bool {
        !settled.became_ready.is_empty() || settled.next_run_at.is_some()
    }

    async fn apply_group(
        writes: &[Self],
        connection: &mut Connection<'_>,
    ) -> Result<Answers<Settled>, StoreError> {
        // Two ends of one task meet the fence one after the other, never in one statement.
        let mut answers = Vec::with_capacity(writes.len());
        let mut rest = writes;
        while !rest.is_empty() {
            let mut seen = HashSet::new();
            let different = rest.iter().take_while(|ending| seen.insert(ending.task)).count();
            let (first, later) = rest.split_at(different);
            answers.extend(settle(connection, first).await?);
            rest = later;
        }
        Ok(answers)
    }
}

/// An end that passed the fence.
struct Held<'a> {
    ending: &'a Ending,
    job: JobId,
    /// The state the task is in now.
    state: TaskState,
    /// Whether somebody cancelled it before.
    was_cancelled: bool,
    /// Whether the task is the only one of its job.
    is_alone: bool,
    has_checkpoints: bool,
}

impl Held<'_> {
    /// Why the task did not end well.
    fn fault(&self) -> Option<Fault> {
        let fault = self.ending.end.fault()?;
        Some(if self.was_cancelled { cancelled(fault) } else { fault.clone() })
    }

    /// When its next attempt is due, if there is one.
    fn run_at(&self) -> Option<Timestamp> {
        self.ending.end.run_at().filter(|_| !self.state.is_end())
    }
}

/// The fault of a cancelled task whose last attempt ended with this one.
fn cancelled(fault: &Fault) -> Fault {
    if fault.code == FaultCode::Cancelled {
        return fault.clone();
    }
    let message = format!("somebody cancelled it, and its last attempt ended so: {fault}");
    Fault::new(FaultCode::Cancelled, message)
}

/// Stores the ends of different tasks. Each answer is that of the ending in the same place.
async fn settle(
    connection: &mut Connection<'_>,
    endings: &[Ending],
) -> Result<Answers<Settled>, StoreError> {
    let held = end_tasks(connection, endings).await?;
    if held.is_empty() {
        return Ok(endings.iter().map(|_| Err(StoreError::AttemptLost)).collect());
    }
    let spent = held
        .iter()
        .map(|Held { ending, .. }| ((ending.task, ending.attempt), ending.now, &ending.spending));
    let woken = charges::settle(connection, &spent.collect::<Vec<_>>()).await?;
    end_attempts(connection, &held).await?;
    store_outputs(connection, &held).await?;
    fallbacks::replace(connection, held.iter().map(|held| held.ending)).await?;
    tool_runs::settle(connection, held.iter().map(|held| held.ending)).await?;
    let moved = move_dependents(connection, &held).await?;
    let jobs_ended = change_jobs(connection, &held, &moved).await?;
    Ok(answer(endings, &held, (moved, woken), jobs_ended))
}

async fn end_tasks<'a>(
    connection: &mut Connection<'_>,
    endings: &'a [Ending],
) -> Result<Vec<Held<'a>>, StoreError> {
    let rows = endings.iter().map(|ending| {
        let state = ending.state();
        let fault = ending.end.fault();
        let if_cancelled = fault.map(|fault| row::text(&cancelled(fault))).transpose()?;
        let fault = fault.filter(|_| state.is_end()).map(row::text).transpose()?;
        let run_at = ending.end.run_at().map(Timestamp::unix_ms);
        let (task, now) = (ending.task.0, ending.now.unix_ms());
        Ok((task, ending.attempt, state.code(), run_at, fault, now, if_cancelled))
    });
    let rows = format!("[{}]", row::items(rows)?);
    let passed: Vec<(i64, i64, bool, bool, bool)> =
        query(END_TASKS).bind(rows).read_all(connection).await?;
    let mut passed: HashMap<i64, _> = passed.into_iter().map(|row| (row.0, row)).collect();
    let hold = |ending: &'a Ending| {
        let (_, job, was_cancelled, is_alone, has_checkpoints) = passed.remove(&ending.task.0)?;
        let is_lost = was_cancelled && ending.end.fault().is_some();
        let state = if is_lost { TaskState::Cancelled } else { ending.state() };
        Some(Held { ending, job: JobId(job), state, was_cancelled, is_alone, has_checkpoints })
    };
    Ok(endings.iter().filter_map(hold).collect())
}

async fn end_attempts(
    connection: &mut Connection<'_>,
    held: &[Held<'_>],
) -> Result<(), StoreError> {
    let unknown = held.iter().filter(|held| held.ending.usage.is_none());
    let unknown: Vec<_> = unknown.map(|held| (held.ending.task, held.ending.attempt)).collect();
    let receipts = charges::receipts(connection, &unknown).await?;
    let rows = held.iter().map(|Held { ending, .. }| {
        let fault = ending.end.fault().map(row::text).transpose()?;
        let usage = ending.usage.as_ref().or(receipts.get(&(ending.task, ending.attempt)));
        let usage = usage.map(row::text).transpose()?;
        Ok((ending.task.0, ending.attempt, ending.now.unix_ms(), fault, usage))
    });
    let rows = format!("[{}]", row::items(rows)?);
    Ok(query(END_ATTEMPTS).bind(rows).later(connection).await?)
}

/// Stores what completed tasks returned and left, and drops the checkpoints that they need no more.
async fn store_outputs(
    connection: &mut Connection<'_>,
    held: &[Held<'_>],
) -> Result<(), StoreError> {
    let mut outputs = Vec::new();
    let mut left = Vec::new();
    let mut checkpointed = Vec::new();
    for Held { ending, has_checkpoints, .. } in held {
        if let End::Completed { output, files } = &ending.end {
            outputs.push((ending.task.0, row::text(output)?));
            let rows = files.iter().map(|file| (file.name.as_str(), row::count(file.size)));
            left.extend(rows.map(|(name, size)| (ending.task.0, name, size)));
            let drops = *has_checkpoints && !ending.keeps_checkpoints;
            checkpointed.extend(drops.then_some(ending.task.0));
        }
    }
    if !outputs.is_empty() {
        query(INSERT_OUTPUTS).bind(row::text(&outputs)?).later(connection).await?;
    }
    if !left.is_empty() {
        query(files::INSERT).bind(row::text(&left)?).later(connection).await?;
    }
    if !checkpointed.is_empty() {
        query(DROP_CHECKPOINTS).bind(row::text(&checkpointed)?).later(connection).await?;
    }
    Ok(())
}

/// Moves what waited for the ended tasks. A task that is tried again moves itself.
async fn move_dependents(
    connection: &mut Connection<'_>,
    held: &[Held<'_>],
) -> Result<Vec<Moved>, StoreError> {
    let is_waited_for = |held: &&Held<'_>| !held.is_alone && held.state.is_end();
    let ended: Vec<_> = held.iter().filter(is_waited_for).collect();
    // The whole group happens at its last moment.
    let now = ended.iter().map(|held| held.ending.now).max();
    let Some(now) = now else { return Ok(Vec::new()) };
    let ended = ended.iter().map(|held| (held.ending.task.0, held.state.code()));
    dependents::resolve(connection, ended.collect(), now).await
}

/// What the group does to one job.
#[derive(Default)]
struct Change {
    ended: i64,
    end: Option<JobState>,
    at: Option<Timestamp>,
}

/// Adds the events to their jobs, and ends the jobs whose last tasks have ended.
async fn change_jobs(
    connection: &mut Connection<'_>,
    held: &[Held<'_>],
    moved: &[Moved],
) -> Result<BTreeMap<i64, JobState>, StoreError> {
    let mut changes = BTreeMap::<i64, Change>::new();
    for Held { ending, job, state, is_alone, .. } in held {
        let change = changes.entry(job.0).or_default();
        change.ended += i64::from(state.is_end());
        change.at = change.at.max(Some(ending.now));
        if *is_alone && state.is_end() {
            // Most jobs are one task, and end with it: they need no further statement.
            change.end = Some(JobState::of_ended(&[*state], &[]));
        }
    }
    for moved in moved {
        changes.entry(moved.job.0).or_default().ended += i64::from(moved.state.is_end());
    }
    let drafts = drafts(held, moved, &changes);
    let added = events::count_by_job(&drafts);
    let rows = changes.iter().map(|(job, change)| {
        let at = change.at.filter(|_| change.end.is_some()).map(Timestamp::unix_ms);
        Ok((job, added.get(job), change.ended, change.end.map(JobState::name), at))
    });
    let rows = format!("[{}]", row::items(rows)?);
    let counts: Vec<(i64, i64, i64)> = query(CHANGE_JOBS).bind(rows).read_all(connection).await?;
    let lasts = counts.iter().map(|(job, last, _)| (*job, *last)).collect();
    events::insert_each(connection, drafts, lasts).await?;
    let mut ends = BTreeMap::new();
    for (job, _, open) in counts {
        let Some(Change { end, at: Some(at), .. }) = changes.get(&job) else { continue };
        if open > 0 {
            continue;
        }
        let end = match end {
            Some(end) => *end,
            None => dependents::end_job(connection, JobId(job), *at).await?,
        };
        ends.insert(job, end);
    }
    Ok(ends)
}

/// The events of the group: what happened in each attempt, its end, and then what that moved.
fn drafts(held: &[Held<'_>], moved: &[Moved], changes: &BTreeMap<i64, Change>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for held in held {
        let Held { ending, job, state, was_cancelled, .. } = *held;
        let (task, attempt, at) = (ending.task, ending.attempt, ending.now);
        let of_attempt = |new| Draft::of_attempt(job, task, attempt, new);
        drafts.extend(ending.events.iter().map(of_attempt));
        if was_cancelled && state == TaskState::Completed {
            drafts.push(Draft {
                job,
                task: Some(task),
                attempt,
                at,
                what: Happening::CancelTooLate,
            });
        }
        drafts.push(Draft::of_attempt_state((job, task, attempt), state, held.fault(), at));
    }
    drafts.extend(moved.iter().filter_map(|moved| {
        let at = changes.get(&moved.job.0)?.at?;
        Some(Draft::of_moved(moved, at))
    }));
    drafts
}

/// Answers each ending. What a group of one job's ends moved is told with the last of them.
fn answer(
    endings: &[Ending],
    held: &[Held<'_>],
    (moved, woken): (Vec<Moved>, Vec<TaskId>),
    mut jobs_ended: BTreeMap<i64, JobState>,
) -> Answers<Settled> {
    let mut moved_of = HashMap::<JobId, Vec<Moved>>::new();
    for moved in moved {
        moved_of.entry(moved.job).or_default().push(moved);
    }
    let mut settled = HashMap::<TaskId, Settled>::new();
    for held in held.iter().rev() {
        let Held { ending, job, state, was_cancelled, .. } = *held;
        let task = ending.task;
        let mut moved = moved_of.remove(&job).unwrap_or_default();
        if let Some(run_at) = held.run_at() {
            moved.push(Moved { job, task, state, run_at, fault: None });
        }
        let in_state = |state| moved.iter().filter(move |moved| moved.state == state);
        let answer = Settled {
            job,
            state,
            was_cancelled,
            became_ready: in_state(TaskState::Ready).map(|moved| moved.task).collect(),
            skipped: in_state(TaskState::Skipped).count(),
            next_run_at: in_state(TaskState::Scheduled).map(|moved| moved.run_at).min(),
            job_ended: jobs_ended.remove(&job.0),
        };
        settled.insert(task, answer);
    }
    // Whoever waited for a budget is told with any of them.
    if let Some(last) = held.last().and_then(|held| settled.get_mut(&held.ending.task)) {
        last.became_ready.extend(woken);
    }
    let answer = |ending: &Ending| settled.remove(&ending.task).ok_or(StoreError::AttemptLost);
    endings.iter().map(answer).collect()
}
