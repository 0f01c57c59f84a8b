//! The session of a host that dispatches: its heartbeat, and the work of hosts that lost theirs.
//!
//! It hands nothing out: `dispatch` does, for as long as the session is kept.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::state::TaskState;
use apflow_sandbox::StopReason;
use apflow_store::{Hold, Recovered, SessionId, StoreError};
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::{EngineError, chain};

/// The lease is renewed this often while it lasts.
const HEARTBEATS_PER_LEASE: u32 = 3;
/// How often to look for blocks of budgets that nobody draws on.
const LOOK_FOR_IDLE_EVERY: Duration = Duration::from_secs(5);
/// How soon a heartbeat is tried again that the database could not take.
const BEAT_AGAIN: Duration = Duration::from_millis(500);
/// How often to look for sessions that were lost, when none is about to be.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest that asking the server for its time may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(2);

impl Engine {
    /// Keeps the clock in step with the database's, where that has one.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when it cannot be asked.
    pub async fn follow_clock(&self) -> Result<(), EngineError> {
        Ok(self.clock.follow(self.store.server_time()).await?)
    }
}

/// Begins a session, and takes up what hosts left that are gone.
pub(crate) async fn begin(engine: &Engine) -> Result<SessionId, EngineError> {
    engine.follow_clock().await?;
    let settings = &engine.settings;
    let opening = engine.store.open_session(settings.name.clone(), engine.now(), settings.lease);
    let session = opening.await?;
    let recovered = if engine.store.is_shared() {
        engine.store.rescue(session, engine.now(), engine.live().quarantine).await?
    } else {
        // The lock on the database's folder says that no other host lives.
        engine.store.recover(session, engine.now(), engine.live().quarantine).await?
    };
    report(engine, &recovered);
    Ok(session)
}

/// Does what must be done as long as a session lasts. The first of these to end is the heartbeat:
/// the session is lost then, and every guest was stopped.
pub(crate) fn keep(engine: &Arc<Engine>, session: SessionId) -> JoinSet<()> {
    let mut work = JoinSet::new();
    work.spawn(beat(Arc::clone(engine), session));
    if engine.store.is_shared() {
        work.spawn(rescue_others(Arc::clone(engine), session));
        work.spawn(heed_others(Arc::clone(engine), session));
        work.spawn(give_idle_back(Arc::clone(engine), session));
    }
    work
}

/// Renews the lease until it is lost: the database says so, or it could not be asked in time.
async fn beat(engine: Arc<Engine>, session: SessionId) {
    let lease = engine.settings.lease;
    let mut until = engine.now().after(lease);
    // At once, since starting up took some of the lease.
    let mut wait = Duration::ZERO;
    loop {
        tokio::time::sleep(wait).await;
        let following = tokio::time::timeout(ASK_TIME_MAX, engine.follow_clock());
        if let Ok(Err(error)) = following.await {
            tracing::debug!(error = chain(&error), "the server's time is not known");
        }
        let now = engine.now();
        let beating = engine.store.heartbeat(session, now, lease);
        match tokio::time::timeout(until.since(now), beating).await {
            Ok(Ok(())) => {
                until = now.after(lease);
                wait = lease / HEARTBEATS_PER_LEASE;
            }
            Ok(Err(StoreError::SessionLost | StoreError::Closed)) | Err(_) => break,
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "a heartbeat was not stored");
                wait = BEAT_AGAIN;
            }
        }
    }
    tracing::error!("the lease has ended: others may run its tasks, so every guest is stopped");
    engine.stop_all(StopReason::LeaseLost);
}

/// Takes up the tasks of each session whose lease ends.
async fn rescue_others(engine: Arc<Engine>, session: SessionId) {
    loop {
        let wait = match engine.store.next_lease_end(session).await {
            Ok(Some(end)) if end < engine.now() => {
                rescue(&engine, session).await;
                LOOK_AGAIN
            }
            // One millisecond later it has ended.
            Ok(Some(end)) => end.since(engine.now()) + Duration::from_millis(1),
            Ok(None) | Err(_) => LOOK_AGAIN,
        };
        tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
    }
}

async fn rescue(engine: &Engine, session: SessionId) {
    let rule = engine.live().quarantine;
    match engine.store.rescue(session, engine.now(), rule).await {
        Ok(recovered) => {
            report(engine, &recovered);
            engine.bell.notify_one();
        }
        Err(error) => tracing::error!(error = chain(&error), "no lost task could be taken up"),
    }
}

/// Looks for work, and at what runs here, each time another host hints that there is news.
async fn heed_others(engine: Arc<Engine>, session: SessionId) {
    let mut hints = engine.store.hints();
    loop {
        hints.next().await;
        // Only when there is something to take: a claim keeps the writes of all hosts waiting.
        if engine.store.has_ready().await.unwrap_or(true) {
            engine.bell.notify_one();
        }
        stop_lost(&engine, session).await;
    }
}

/// Gives the blocks of budgets back that nobody draws on here: others may.
async fn give_idle_back(engine: Arc<Engine>, session: SessionId) {
    loop {
        tokio::time::sleep(LOOK_FOR_IDLE_EVERY).await;
        let idle = engine.purse.take_idle();
        if idle.is_empty() {
            continue;
        }
        match engine.store.give_blocks_back(session, idle.clone(), engine.now()).await {
            Ok(true) => engine.bell.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "a block of a budget is kept");
                for (budget, amount) in idle {
                    engine.purse.add(budget, amount);
                }
            }
        }
    }
}

/// Stops the attempts that run here and hold their tasks no more.
async fn stop_lost(engine: &Engine, session: SessionId) {
    // Listed before the database is asked: what is claimed in between is not looked at.
    let running: Vec<_> = engine.running().iter().map(|(key, stop)| (*key, stop.clone())).collect();
    if running.is_empty() {
        return;
    }
    match engine.store.held(session).await {
        Ok(held) => {
            for (attempt, stop) in &running {
                match held.get(attempt) {
                    Some(Hold::Held) => {}
                    Some(Hold::Cancelled) => stop.cancel(),
                    Some(Hold::Lost) | None => stop.now(StopReason::LeaseLost),
                }
            }
        }
        Err(error) => tracing::debug!(error = chain(&error), "what runs here is not known"),
    }
}

fn report(engine: &Engine, recovered: &Recovered) {
    let Recovered { retried, failed, jobs_ended, quarantined } = recovered;
    if !retried.is_empty() || !failed.is_empty() {
        let (retried, failed) = (retried.len(), failed.len());
        tracing::warn!(retried, failed, "took up tasks that were running when their host ended");
    }
    engine.metrics.tasks_ended(TaskState::Failed, failed.len());
    for digest in quarantined {
        tracing::error!(%digest, "a component is quarantined: hosts ended while it ran");
    }
    for (job, _) in jobs_ended {
        engine.hub.ended(*job);
    }
}
