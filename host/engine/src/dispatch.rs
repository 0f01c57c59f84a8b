//! Hands ready tasks out, as many at once as may run.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::TaskId;
use apflow_model::usage::Usage;
use apflow_sandbox::{Ended, Stop, StopReason};
use apflow_store::{Claimed, SessionId, StoreError};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use crate::engine::{Dispatcher, Engine};
use crate::error::{EngineError, chain};
use crate::lock::DispatchLock;
use crate::{attempt, background, settle};

/// How often to look for work although nobody rang: another process may have submitted a job.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest that stopped attempts may take to end. Guests end at once; what is left then waits
/// for the database.
const END_MAX: Duration = Duration::from_secs(2);

impl Engine {
    /// Takes up what an earlier process left, and dispatches tasks from now on.
    ///
    /// # Errors
    ///
    /// [`EngineError::DatabaseLocked`] while another process dispatches the tasks of the database,
    /// [`EngineError::Store`] when it fails, [`EngineError::DataDir`] when what an earlier process
    /// left cannot be removed.
    pub async fn start(self: &Arc<Self>, lock: DispatchLock) -> Result<(), EngineError> {
        self.store.take_dispatch().await.map_err(|error| {
            let is_taken = matches!(error, StoreError::DispatchTaken);
            if is_taken { EngineError::DatabaseLocked } else { EngineError::Store(error) }
        })?;
        let session = self.store.open_session(self.now()).await?;
        let recovered = self.store.recover(session, self.now()).await?;
        if !recovered.retried.is_empty() || !recovered.failed.is_empty() {
            tracing::warn!(
                retried = recovered.retried.len(),
                failed = recovered.failed.len(),
                "took up tasks that were running when the host ended"
            );
        }
        self.sweep().await?;
        let stop = Arc::new(Notify::new());
        let running = run(Arc::clone(self), session, Arc::clone(&stop));
        let running = tokio::spawn(running);
        let background = background::start(self, session);
        *self.dispatcher.lock().await = Some(Dispatcher { stop, running, background, lock });
        Ok(())
    }

    /// Removes the files that an earlier process left without a row. Nothing runs yet.
    async fn sweep(&self) -> Result<(), EngineError> {
        let tasks = self.store.tasks_with_files().await?;
        let uploads = self.store.uploaded_digests().await?;
        let files = Arc::clone(&self.files);
        let sweeping = tokio::task::spawn_blocking(move || files.sweep(&tasks, &uploads));
        let unusable = |source| EngineError::DataDir { what: "its files".to_owned(), source };
        sweeping.await?.map_err(unusable)
    }

    /// Stops dispatching, waits a while for running attempts, and closes the database.
    ///
    /// Attempts that are still running then are stopped, and their tasks wait for the next start.
    pub async fn close(&self) {
        if let Some(dispatcher) = self.dispatcher.lock().await.take() {
            let Dispatcher { stop, running, mut background, lock } = dispatcher;
            stop.notify_one();
            if let Err(error) = running.await {
                tracing::error!(%error, "the dispatcher did not end well");
            }
            background.shutdown().await;
            self.store.close().await;
            drop(lock);
        } else {
            self.store.close().await;
        }
    }
}

impl Engine {
    /// Stops every attempt that runs here.
    fn stop_all(&self, reason: StopReason) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(|stop| stop.now(reason));
    }
}

/// Dispatches until `stop` is rung, then waits for what is running.
///
/// What does not end in time is stopped and handed back: the next start runs it again, and does not
/// hold it against the task.
async fn run(engine: Arc<Engine>, session: SessionId, stop: Arc<Notify>) {
    let mut running = Running::default();
    loop {
        let next = hand_out(&engine, session, &mut running).await;
        tokio::select! {
            () = stop.notified() => break,
            () = engine.bell.notified() => {}
            Some(ended) = running.attempts.join_next_with_id() => {
                running.report(&engine, ended).await;
            }
            () = tokio::time::sleep(next) => {}
        }
    }
    if tokio::time::timeout(engine.settings.grace, running.all_ended(&engine)).await.is_ok() {
        return;
    }
    engine.stop_all(StopReason::HostClosing);
    if tokio::time::timeout(END_MAX, running.all_ended(&engine)).await.is_err() {
        running.attempts.shutdown().await;
    }
    match engine.store.release(session, engine.now()).await {
        Ok(released) => {
            tracing::warn!(tasks = released.len(), "handed back tasks that did not end in time");
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "unended tasks could not be handed back");
        }
    }
}

/// The attempts that run, and what each was claimed as.
#[derive(Default)]
struct Running {
    attempts: JoinSet<()>,
    claimed: HashMap<Id, Arc<Claimed>>,
}

impl Running {
    /// Waits until every attempt has ended.
    async fn all_ended(&mut self, engine: &Arc<Engine>) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.report(engine, ended).await;
        }
    }

    /// Takes note that an attempt has ended.
    async fn report(&mut self, engine: &Arc<Engine>, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let claimed = self.claimed.remove(&id);
        let (Err(error), Some(claimed)) = (ended, claimed) else { return };
        // What was aborted is handed back to the store.
        if error.is_panic() {
            tracing::error!(task = %claimed.task, %error, "the host failed in an attempt");
            let fault = Fault::new(FaultCode::Trapped, "the host failed while it ran the attempt");
            let ended = Ended { result: Err(fault), usage: Usage::default() };
            settle::settle(engine, &claimed, ended, Vec::new(), Vec::new()).await;
        }
    }
}

/// Claims as many tasks as there are free places, and says when to look again at the latest.
async fn hand_out(engine: &Arc<Engine>, session: SessionId, running: &mut Running) -> Duration {
    while let Some(ended) = running.attempts.try_join_next_with_id() {
        running.report(engine, ended).await;
    }
    let busy = u32::try_from(running.attempts.len()).unwrap_or(u32::MAX);
    let free = engine.settings.attempts_max.saturating_sub(busy);
    if free == 0 {
        // The end of an attempt wakes the dispatcher; until then there is no place to fill.
        return LOOK_AGAIN;
    }
    let claimed = match engine.store.claim(session, engine.now(), free).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::error!(error = chain(&error), "no task could be claimed");
            return LOOK_AGAIN;
        }
    };
    for task in claimed {
        start(engine, running, Arc::new(task));
    }
    until_next(engine).await
}

fn start(engine: &Arc<Engine>, running: &mut Running, claimed: Arc<Claimed>) {
    let (job, task, attempt) = (claimed.job, claimed.task, claimed.attempt);
    engine.hub.changed(job);
    // Under the lock, so that an attempt that ends at once is listed before it is taken off.
    let mut list = engine.running.lock().unwrap_or_else(PoisonError::into_inner);
    let stop = Stop::new();
    let one = run_one(Arc::clone(engine), Arc::clone(&claimed), stop.clone());
    running.claimed.insert(running.attempts.spawn(one).id(), claimed);
    list.insert((task, attempt), stop);
}

/// Runs one attempt, and is known as running until it has ended or was aborted.
async fn run_one(engine: Arc<Engine>, claimed: Arc<Claimed>, stop: Stop) {
    let attempt = (claimed.task, claimed.attempt);
    let _listed = Listed { engine: Arc::clone(&engine), attempt };
    attempt::run(&engine, &claimed, stop).await;
}

/// Takes an attempt off the list of what is running, however it ends.
struct Listed {
    engine: Arc<Engine>,
    attempt: (TaskId, u32),
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = self.engine.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.attempt);
    }
}

/// How long until a scheduled task is due, at most [`LOOK_AGAIN`].
async fn until_next(engine: &Engine) -> Duration {
    match engine.store.next_run_at().await {
        Ok(Some(due)) => due.since(engine.now()).min(LOOK_AGAIN),
        Ok(None) | Err(_) => LOOK_AGAIN,
    }
}
