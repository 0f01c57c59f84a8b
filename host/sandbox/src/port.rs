//! What a guest may ask of its own task.
//!
//! This is the only call that goes up: the trait is declared here and implemented by the engine, so
//! that the sandbox needs no engine and no store.

use std::pin::Pin;
use std::time::Duration;

use apflow_model::event::{LogLine, Stream};
use apflow_model::money::TokenUse;

/// A future that a port returns.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The task behind an attempt, as its guest sees it.
pub trait TaskPort: Send + Sync {
    /// Saves a checkpoint. It is durable when the future is done.
    fn save_checkpoint(
        &self,
        step: String,
        value: Vec<u8>,
    ) -> PortFuture<'_, Result<(), CheckpointError>>;

    /// Loads the newest checkpoint of the task.
    fn load_checkpoint(&self) -> PortFuture<'_, Result<Option<Checkpoint>, CheckpointError>>;

    /// The tokens that are neither spent nor reserved. None without a budget of tokens.
    fn tokens_remaining(&self) -> PortFuture<'_, Option<u64>>;

    /// Sets aside what a call of a model can use at most.
    fn reserve(&self, call: ModelCall) -> PortFuture<'_, Result<Reservation, BudgetError>>;

    /// Takes what a call used so far, in all.
    fn tell(&self, reservation: &Reservation, used: TokenUse);

    /// Ends a reservation, and charges what was used in its place.
    fn commit(&self, reservation: Reservation, used: TokenUse) -> PortFuture<'_, ()>;

    /// Ends a reservation of which nothing was used but what was told.
    fn release(&self, reservation: Reservation);

    /// Waits until there is room for more of what the guest says. None when there is.
    fn room(&self) -> Option<PortFuture<'_, ()>>;

    /// Waits until the guest may connect to others. None when it may. Raw sockets do not ask.
    fn reach_out(&self) -> Option<PortFuture<'_, ()>>;

    /// Keeps a line of the guest's log.
    fn log(&self, line: LogLine);

    /// Keeps how far the guest says it has come.
    fn progress(&self, fraction: f64, message: String);

    /// Keeps what a command writes, which is within its limit. It comes in pieces of any size.
    fn wrote(&self, stream: Stream, bytes: &[u8]);

    /// Keeps that the guest was refused something. The message names the grant that would allow it.
    fn denied(&self, message: &str);

    /// Keeps that the guest was not let through to a destination, and how long that is left alone.
    fn held(&self, destination: &str, wait: Duration);
}

/// The most that a call of a model can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// The model that is to be called. None for the task's own.
    pub model: Option<String>,
    /// Tokens sent to it.
    pub input: u64,
    /// Tokens received from it.
    pub output: u64,
}

/// What is set aside for one call of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Which of its attempt's it is, from 1.
    pub number: u64,
    /// How many tokens are set aside.
    pub tokens: u64,
    /// The model to call. None when nobody named one.
    pub model: Option<String>,
}

/// Why nothing was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetError {
    /// So many tokens are left, or too little money.
    Exhausted(u64),
    /// A cost policy forbids the call, or the host cannot allow it now, and why.
    Blocked(String),
}

/// A checkpoint as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the step.
    pub step: String,
    /// The attempt that saved it.
    pub attempt: u32,
    /// The bytes.
    pub value: Vec<u8>,
}

/// Why a checkpoint was not saved or loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointError {
    /// The value is larger than one may be, in bytes.
    TooLarge(u64),
    /// The task has as many as it may have.
    TooMany(u64),
    /// Another attempt has taken over.
    Fenced,
    /// The host cannot store it now, and why.
    Unavailable(String),
}

/// The port of a guest that works for no task: it keeps nothing, and refuses what needs a task.
#[derive(Debug, Clone, Copy)]
pub struct NoTask;

impl TaskPort for NoTask {
    fn save_checkpoint(
        &self,
        _: String,
        _: Vec<u8>,
    ) -> PortFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Err(no_task())))
    }

    fn load_checkpoint(&self) -> PortFuture<'_, Result<Option<Checkpoint>, CheckpointError>> {
        Box::pin(std::future::ready(Err(no_task())))
    }

    fn tokens_remaining(&self) -> PortFuture<'_, Option<u64>> {
        Box::pin(std::future::ready(Some(0)))
    }

    fn reserve(&self, _: ModelCall) -> PortFuture<'_, Result<Reservation, BudgetError>> {
        Box::pin(std::future::ready(Err(BudgetError::Exhausted(0))))
    }

    fn tell(&self, _: &Reservation, _: TokenUse) {}

    fn commit(&self, _: Reservation, _: TokenUse) -> PortFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn release(&self, _: Reservation) {}

    fn room(&self) -> Option<PortFuture<'_, ()>> {
        None
    }

    fn reach_out(&self) -> Option<PortFuture<'_, ()>> {
        None
    }

    fn log(&self, _: LogLine) {}

    fn progress(&self, _: f64, _: String) {}

    fn wrote(&self, _: Stream, _: &[u8]) {}

    fn denied(&self, _: &str) {}

    fn held(&self, _: &str, _: Duration) {}
}

fn no_task() -> CheckpointError {
    CheckpointError::Unavailable("there is no task to keep it for".to_owned())
}
