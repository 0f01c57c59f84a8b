//! Hands ready tasks out, as many at once as may run.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use apflow_model::event::Happening;
use apflow_model::id::TaskId;
use apflow_model::state::TaskState;
use apflow_store::{Claimed, SessionId};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::attempt;
use crate::engine::{Dispatcher, Engine};
use crate::error::{EngineError, chain};
use crate::lock::DispatchLock;
use crate::watch::Live;

/// How often to look for work although nobody rang: another process may have submitted a job.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes up what an earlier process left, and dispatches tasks from now on.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn start(self: &Arc<Self>, lock: DispatchLock) -> Result<(), EngineError> {
        let session = self.store.open_session(self.now()).await?;
        let recovered = self.store.recover(session, self.now()).await?;
        if !recovered.retried.is_empty() || !recovered.failed.is_empty() {
            tracing::warn!(
                retried = recovered.retried.len(),
                failed = recovered.failed.len(),
                "took up tasks that were running when the host ended"
            );
        }
        let stop = Arc::new(Notify::new());
        let running = run(Arc::clone(self), session, Arc::clone(&stop));
        let running = tokio::spawn(running);
        *self.dispatcher.lock().await = Some(Dispatcher { stop, running, lock });
        Ok(())
    }

    /// Stops dispatching, waits a while for running attempts, and closes the database.
    ///
    /// Attempts that are still running then are stopped; the next start takes their tasks up.
    pub async fn close(&self) {
        if let Some(Dispatcher { stop, running, lock }) = self.dispatcher.lock().await.take() {
            stop.notify_one();
            if let Err(error) = running.await {
                tracing::error!(%error, "the dispatcher did not end well");
            }
            self.store.close().await;
            drop(lock);
        } else {
            self.store.close().await;
        }
    }
}

/// Dispatches until `stop` is rung, then waits for what is running.
async fn run(engine: Arc<Engine>, session: SessionId, stop: Arc<Notify>) {
    let mut running = JoinSet::new();
    loop {
        hand_out(&engine, session, &mut running).await;
        tokio::select! {
            () = stop.notified() => break,
            () = engine.bell.notified() => {}
            Some(ended) = running.join_next() => report(ended),
            () = tokio::time::sleep(until_next(&engine).await) => {}
        }
    }
    let draining = async {
        while let Some(ended) = running.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(engine.settings.grace, draining).await.is_err() {
        tracing::warn!(attempts = running.len(), "stopped attempts that did not end in time");
    }
}

async fn hand_out(engine: &Arc<Engine>, session: SessionId, running: &mut JoinSet<()>) {
    while let Some(ended) = running.try_join_next() {
        report(ended);
    }
    let busy = u32::try_from(running.len()).unwrap_or(u32::MAX);
    let free = engine.settings.attempts_max.saturating_sub(busy);
    if free == 0 {
        return;
    }
    let claimed = match engine.store.claim(session, engine.now(), free).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::error!(error = %chain(&error), "no task could be claimed");
            return;
        }
    };
    for task in claimed {
        engine.hub.tell(Live::Task {
            job: task.job,
            task: task.task,
            attempt: task.attempt,
            what: Happening::State { state: TaskState::Running, fault: None },
        });
        let id = task.task;
        // Under the lock, so that an attempt that ends at once is listed before it is taken off.
        let mut list = engine.running.lock().unwrap_or_else(PoisonError::into_inner);
        list.insert(id, running.spawn(run_one(Arc::clone(engine), task)));
    }
}

/// Runs one attempt, and is known as running until it has ended or was aborted.
async fn run_one(engine: Arc<Engine>, task: Claimed) {
    let _listed = Listed { engine: Arc::clone(&engine), task: task.task };
    attempt::run(engine, task).await;
}

/// Takes a task off the list of what is running, however its attempt ends.
struct Listed {
    engine: Arc<Engine>,
    task: TaskId,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = self.engine.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.task);
    }
}

/// How long until a scheduled task is due, at most [`LOOK_AGAIN`].
async fn until_next(engine: &Engine) -> Duration {
    match engine.store.next_run_at().await {
        Ok(Some(due)) => due.since(engine.now()).min(LOOK_AGAIN),
        Ok(None) | Err(_) => LOOK_AGAIN,
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    // An attempt is aborted when its job was cancelled; its end is stored.
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!(%error, "an attempt ended unexpectedly; its task is taken up at the next start");
    }
}
