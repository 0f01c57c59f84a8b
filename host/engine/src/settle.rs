//! Turns the end of an attempt into the next state of its task, and stores it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::clock::Timestamp;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::retry::{self, Retry};
use apflow_model::state::TaskState;
use apflow_model::trace::TARGET;
use apflow_sandbox::Ended;
use apflow_store::{
    Claimed, End, NewEvent, NewTaskFile, Settled, Settlement, Spending, StoreError, ToolRun,
};
use tracing::{Instrument, Span};

use crate::eager::Eager;
use crate::engine::Engine;
use crate::error::chain;
use crate::fallback;

/// How long to wait before storing an end again, at first and at most. Nothing else can end the
/// task, so the end is not given up; and the wait is short, so that it comes before the lease is
/// found to be lost.
const STORE_AGAIN: Duration = Duration::from_millis(100);
const STORE_AGAIN_MAX: Duration = Duration::from_secs(1);

/// What an attempt leaves beside its result.
#[derive(Default)]
pub(crate) struct Said {
    /// The files that it left, in place already.
    pub(crate) files: Vec<NewTaskFile>,
    /// What happened in it and is not stored yet, in order.
    pub(crate) events: Vec<NewEvent>,
    /// What its end says of the tool that it ran. None for an executor.
    pub(crate) run: Option<ToolRun>,
    /// What it did with its budgets.
    pub(crate) spending: Spending,
    /// Its job, when that is perhaps not stored yet.
    pub(crate) eager: Option<Arc<Eager>>,
}

/// Stores how an attempt ended, what it left, and all that follows from it.
pub(crate) async fn settle(
    engine: &Arc<Engine>,
    claimed: &Claimed,
    ended: Ended,
    Said { files, mut events, run, spending, eager }: Said,
) {
    let now = engine.now();
    let result = ended.result.map_err(|fault| at_deadline(claimed, now, fault));
    let end = match result {
        Ok(output) => End::Completed { output, files },
        Err(fault) if fault.code == FaultCode::Cancelled => End::Cancelled { fault },
        Err(fault) => match after(claimed, &fault) {
            Retry::After(wait) => End::Retry { fault, run_at: now.after(wait) },
            Retry::GiveUp => fallback::end(engine, claimed, fault, now, &mut events).await,
        },
    };
    let (task, attempt, usage) = (claimed.task, claimed.attempt, ended.usage);
    let (fault, left) = summary(&end);
    if fault != "none" {
        Span::current().record("fault", fault);
    }
    let settlement = Settlement { task, attempt, now, end, usage, events };
    let span = tracing::info_span!(target: TARGET, "settle", fault);
    let settled = match store(engine, settlement, (run, spending), eager).instrument(span).await {
        Ok(settled) => settled,
        Err(error) => {
            tracing::warn!(%task, attempt, error = chain(&error), "an end was dropped");
            if matches!(error, StoreError::AttemptLost) {
                drop_files(engine, claimed).await;
            }
            return;
        }
    };
    engine.metrics.attempt_ended(&claimed.executor, fault, &usage);
    engine.metrics.left(left);
    engine.metrics.tasks_ended(settled.state, 1);
    engine.metrics.tasks_ended(TaskState::Skipped, settled.skipped);
    match settled.job_ended {
        Some(_) => engine.hub.ended(settled.job),
        None => engine.hub.changed(settled.job),
    }
}

/// What is counted of an end: the fault or `none`, and the bytes of the files that it leaves.
fn summary(end: &End) -> (&'static str, u64) {
    match end {
        End::Completed { files, .. } => ("none", files.iter().map(|file| file.size).sum()),
        End::Failed { fault }
        | End::Cancelled { fault }
        | End::Retry { fault, .. }
        | End::Fallback { fault, .. } => (fault.code.name(), 0),
    }
}

/// Removes the files of an end that counts no more. What stays has no row, and is swept at the next
/// start.
async fn drop_files(engine: &Engine, claimed: &Claimed) {
    let (files, job, task) = (Arc::clone(&engine.files), claimed.job, claimed.task);
    match tokio::task::spawn_blocking(move || files.forget(job, task)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%task, %error, "files of a lost attempt stay"),
        Err(error) => tracing::error!(%task, %error, "files of a lost attempt stay"),
    }
}

/// Stores an end, however often the database refuses, unless it counts no more.
async fn store(
    engine: &Engine,
    settlement: Settlement,
    (run, spending): (Option<ToolRun>, Spending),
    eager: Option<Arc<Eager>>,
) -> Result<Settled, StoreError> {
    let is_all = run.is_none() && spending.is_empty();
    if let Some(eager) = &eager {
        if is_all && let Some(settled) = eager.end(&settlement).await {
            return settled;
        }
        if !eager.store().await {
            return Err(StoreError::AttemptLost);
        }
    }
    let (task, attempt) = (settlement.task, settlement.attempt);
    let mut wait = STORE_AGAIN;
    loop {
        let settled = engine.store.settle_with(settlement.clone(), run.clone(), spending.clone());
        match settled.await {
            Ok(settled) => {
                if let Some(eager) = eager.filter(|_| is_all) {
                    eager.was_settled(&settlement, &settled);
                }
                return Ok(settled);
            }
            Err(error @ (StoreError::AttemptLost | StoreError::Closed)) => return Err(error),
            Err(error) => {
                tracing::error!(%task, attempt, error = chain(&error), "an end waits to be stored");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(STORE_AGAIN_MAX);
            }
        }
    }
}

/// A deadline that has passed leaves no other attempt, and is what stopped one that ran until then.
fn at_deadline(claimed: &Claimed, now: Timestamp, fault: Fault) -> Fault {
    let is_past = claimed.deadline.is_some_and(|deadline| deadline <= now);
    if is_past && (fault.code.is_retryable() || fault.code == FaultCode::LimitExceeded) {
        let message = format!("the deadline has passed; the last attempt ended with {fault}");
        return Fault::new(FaultCode::DeadlineExceeded, message);
    }
    fault
}

fn after(claimed: &Claimed, fault: &Fault) -> Retry {
    let counts = |number: u32| number.saturating_sub(claimed.attempts_before);
    let (attempt, attempts_max) = (counts(claimed.attempt), counts(claimed.attempts_max));
    retry::after(fault, attempt, attempts_max, &claimed.backoff, jitter())
}

/// A number from 0 to 1, drawn evenly enough to spread retries. The keys of `RandomState` are
/// random, and every new one differs.
fn jitter() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
