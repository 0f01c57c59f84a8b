//! What a guest may ask of its task, answered.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apflow_model::clock::Clock;
use apflow_model::event::{Happening, LogLine, Stream};
use apflow_model::id::{JobId, TaskId};
use apflow_model::money::TokenUse;
use apflow_model::usage::Usage;
use apflow_sandbox::{
    BudgetError, Checkpoint, CheckpointError, ModelCall, PortFuture, Reservation, Stop, StopReason,
    TaskPort,
};
use apflow_store::{Claimed, Hold, NewEvent, Spending, Store, StoreError};
use tokio::sync::Notify;

use crate::budget::Wallet;
use crate::eager::Eager;
use crate::engine::Engine;
use crate::error::chain;
use crate::hub::Hub;
use crate::streams::Streams;
use crate::unstored::Unstored;

/// The port of one attempt.
pub(crate) struct Port {
    store: Store,
    clock: Arc<dyn Clock>,
    hub: Hub,
    job: JobId,
    task: TaskId,
    attempt: u32,
    /// Ends the attempt as soon as it is known to have lost its task.
    stop: Stop,
    unstored: Mutex<Unstored>,
    /// Rung when as much is unstored as may be, or others wait for it.
    is_full: Arc<Notify>,
    /// Rung when it was taken out.
    has_room: Notify,
    streams: Mutex<Streams>,
    wallet: Wallet,
    /// The job, when it is not stored before its attempt begins.
    eager: Option<Arc<Eager>>,
}

impl Port {
    pub(crate) fn new(
        engine: &Engine,
        claimed: &Claimed,
        is_tool: bool,
        stop: Stop,
        eager: Option<Arc<Eager>>,
    ) -> Self {
        let is_full = Arc::new(Notify::new());
        let wallet = Wallet::new(engine, claimed, is_tool, stop.clone(), Arc::clone(&is_full));
        Self {
            store: engine.store.clone(),
            clock: Arc::clone(&engine.clock) as Arc<dyn Clock>,
            hub: engine.hub.clone(),
            job: claimed.job,
            task: claimed.task,
            attempt: claimed.attempt,
            stop,
            unstored: Mutex::default(),
            is_full,
            has_room: Notify::new(),
            streams: Mutex::default(),
            wallet,
            eager,
        }
    }

    /// Waits until the job should be stored, if it is not.
    pub(crate) async fn is_due(&self) {
        match &self.eager {
            Some(eager) if eager.stored().is_none() => eager.is_due().await,
            Some(_) | None => std::future::pending().await,
        }
    }

    /// Sees to it that the job is stored, and ends an attempt whose job cannot be.
    pub(crate) async fn is_stored(&self) -> bool {
        let Some(eager) = &self.eager else { return true };
        let is_stored = eager.store().await;
        if !is_stored {
            self.stop.now(StopReason::LeaseLost);
        }
        is_stored
    }

    /// Waits until whoever runs the attempt has stored the job. Whether it is stored.
    async fn wait_until_stored(&self) -> bool {
        match &self.eager {
            Some(eager) => eager.wait_until_stored().await,
            None => true,
        }
    }

    /// Takes out what happened and is not stored yet, after the attempt has ended.
    pub(crate) fn take_events(&self) -> Vec<NewEvent> {
        let written = locked(&self.streams).take_all();
        self.keep_all(written);
        self.take_unstored()
    }

    /// Ends the attempt's use of its budgets, and completes its receipt.
    pub(crate) fn end_spending(&self, usage: &mut Usage) -> Spending {
        self.wallet.end(usage)
    }

    /// Waits until so much has happened that it should be stored before its time.
    pub(crate) async fn is_full(&self) {
        self.is_full.notified().await;
    }

    /// Stores what happened so far, and ends an attempt that no longer holds its task.
    pub(crate) async fn store_events(&self) {
        self.wallet.store().await;
        let written = locked(&self.streams).take();
        self.keep_all(written);
        let events = self.take_unstored();
        if events.is_empty() {
            return;
        }
        match self.store.append_events(self.task, self.attempt, events).await {
            Ok(_) => self.hub.changed(self.job),
            Err(StoreError::AttemptLost) => self.stop.now(StopReason::LeaseLost),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(task = %self.task, error, "what happened could not be stored");
            }
        }
    }

    /// Ends an attempt that no longer holds its task, or whose task somebody cancelled: perhaps in
    /// another process, which cannot tell the guest.
    pub(crate) async fn check_hold(&self) {
        match self.store.holds(self.task, self.attempt).await {
            Ok(Hold::Held) => {}
            Ok(Hold::Cancelled) => self.stop.cancel(),
            Ok(Hold::Lost) => self.stop.now(StopReason::LeaseLost),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(task = %self.task, error, "a task could not be looked up");
            }
        }
    }

    fn keep_all(&self, all: impl IntoIterator<Item = Happening>) {
        for what in all {
            self.keep(what);
        }
    }

    pub(crate) fn keep(&self, what: Happening) {
        let event = NewEvent { at: self.clock.now(), what };
        let is_full = {
            let mut unstored = locked(&self.unstored);
            unstored.add(event);
            unstored.is_full()
        };
        if is_full {
            self.is_full.notify_one();
        }
    }

    fn take_unstored(&self) -> Vec<NewEvent> {
        let events = locked(&self.unstored).take();
        self.has_room.notify_waiters();
        events
    }

    /// What a store error means to a guest.
    fn refused(&self, error: &StoreError) -> CheckpointError {
        match error {
            StoreError::AttemptLost => {
                self.stop.now(StopReason::LeaseLost);
                CheckpointError::Fenced
            }
            StoreError::CheckpointTooLarge { bytes_max, .. } => {
                CheckpointError::TooLarge(*bytes_max)
            }
            StoreError::TooManyCheckpoints { checkpoints_max } => {
                CheckpointError::TooMany(*checkpoints_max)
            }
            StoreError::IdempotencyConflict
            | StoreError::Busy
            | StoreError::TooManyTasks { .. }
            | StoreError::QuotaExceeded { .. }
            | StoreError::SchemaTooNew { .. }
            | StoreError::Closed
            | StoreError::InvalidAddress(_)
            | StoreError::Unopened { .. }
            | StoreError::Unavailable(_)
            | StoreError::SessionLost
            | StoreError::Database(_)
            | StoreError::Migration(_)
            | StoreError::Corrupt { .. } => {
                tracing::error!(error = chain(error), "a checkpoint was not stored or loaded");
                CheckpointError::Unavailable(error.to_string())
            }
        }
    }
}

impl TaskPort for Port {
    fn save_checkpoint(
        &self,
        step: String,
        value: Vec<u8>,
    ) -> PortFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async move {
            if !self.wait_until_stored().await {
                return Err(CheckpointError::Fenced);
            }
            // What was logged before the checkpoint comes before it in the history.
            self.store_events().await;
            if self.stop.reason().is_some() {
                return Err(CheckpointError::Fenced);
            }
            let now = self.clock.now();
            let saved = self.store.save_checkpoint(self.task, self.attempt, step, value, now).await;
            saved.map_err(|error| self.refused(&error))?;
            self.hub.changed(self.job);
            Ok(())
        })
    }

    fn load_checkpoint(&self) -> PortFuture<'_, Result<Option<Checkpoint>, CheckpointError>> {
        Box::pin(async move {
            let newest = self.store.load_checkpoint(self.task).await;
            let newest = newest.map_err(|error| self.refused(&error))?;
            Ok(newest.map(|checkpoint| Checkpoint {
                step: checkpoint.step,
                attempt: checkpoint.attempt,
                value: checkpoint.value,
            }))
        })
    }

    fn tokens_remaining(&self) -> PortFuture<'_, Option<u64>> {
        Box::pin(async move {
            if self.wait_until_stored().await { self.wallet.tokens_left().await } else { Some(0) }
        })
    }

    fn reserve(&self, call: ModelCall) -> PortFuture<'_, Result<Reservation, BudgetError>> {
        Box::pin(async move {
            if !self.wait_until_stored().await {
                return Err(BudgetError::Blocked("its job cannot be stored".to_owned()));
            }
            self.wallet.reserve(call).await
        })
    }

    fn tell(&self, reservation: &Reservation, used: TokenUse) {
        self.wallet.tell(reservation, used);
    }

    fn commit(&self, reservation: Reservation, used: TokenUse) -> PortFuture<'_, ()> {
        Box::pin(async move {
            self.wallet.commit(reservation, used).await;
            if self.wallet.is_full() {
                self.is_full.notify_one();
            }
        })
    }

    fn release(&self, reservation: Reservation) {
        self.wallet.release(&reservation);
        if self.wallet.is_full() {
            self.is_full.notify_one();
        }
    }

    fn room(&self) -> Option<PortFuture<'_, ()>> {
        if !locked(&self.unstored).is_full() {
            return None;
        }
        Some(Box::pin(async move {
            loop {
                let has_room = self.has_room.notified();
                if !locked(&self.unstored).is_full() {
                    return;
                }
                has_room.await;
            }
        }))
    }

    fn reach_out(&self) -> Option<PortFuture<'_, ()>> {
        let eager = self.eager.as_ref().filter(|eager| eager.stored().is_none())?;
        Some(Box::pin(async move {
            if !eager.wait_until_stored().await {
                self.stop.now(StopReason::LeaseLost);
                // It is ended while it waits.
                std::future::pending::<()>().await;
            }
        }))
    }

    fn log(&self, line: LogLine) {
        self.keep(Happening::Log(line));
    }

    fn progress(&self, fraction: f64, message: String) {
        self.keep(Happening::Progress { fraction, message });
    }

    fn wrote(&self, stream: Stream, bytes: &[u8]) {
        let full = locked(&self.streams).write(stream, bytes);
        self.keep_all(full);
    }

    fn denied(&self, message: &str) {
        self.keep(Happening::Denied { message: message.to_owned() });
    }

    fn held(&self, destination: &str, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.keep(Happening::Held { destination: destination.to_owned(), wait_ms });
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
