//! The task behind an attempt, told nothing of the values of secrets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_model::event::{LogLine, Stream};
use apflow_model::money::TokenUse;

use super::{Secrets, needles};
use crate::port::{
    BudgetError, Checkpoint, CheckpointError, ModelCall, PortFuture, Reservation, TaskPort,
};

/// A port that takes the values of secrets out of every text on its way to the task.
pub(super) struct Redacting {
    port: Arc<dyn TaskPort>,
    secrets: Secrets,
    written: Mutex<Written>,
}

/// What a command has written and may be the beginning of a value.
#[derive(Default)]
struct Written {
    stdout: Option<needles::Stream>,
    stderr: Option<needles::Stream>,
}

impl Redacting {
    pub(super) fn new(port: Arc<dyn TaskPort>, secrets: Secrets) -> Self {
        Self { port, secrets, written: Mutex::default() }
    }
}

impl TaskPort for Redacting {
    /// Refuses a checkpoint that holds a value. One that was changed silently would break the
    /// attempt that loads it.
    fn save_checkpoint(
        &self,
        step: String,
        value: Vec<u8>,
    ) -> PortFuture<'_, Result<(), CheckpointError>> {
        let held = [step.as_bytes(), &value].iter().find_map(|bytes| self.secrets.find(bytes));
        if let Some(secret) = held {
            let message = format!("a checkpoint with the value of a secret is not kept: {secret}");
            self.port.denied(&message);
            return Box::pin(std::future::ready(Err(CheckpointError::Unavailable(message))));
        }
        self.port.save_checkpoint(step, value)
    }

    fn load_checkpoint(&self) -> PortFuture<'_, Result<Option<Checkpoint>, CheckpointError>> {
        self.port.load_checkpoint()
    }

    fn tokens_remaining(&self) -> PortFuture<'_, Option<u64>> {
        self.port.tokens_remaining()
    }

    /// The name of a model is kept in the ledger.
    fn reserve(&self, call: ModelCall) -> PortFuture<'_, Result<Reservation, BudgetError>> {
        let model = call.model.map(|model| self.secrets.redact(model));
        self.port.reserve(ModelCall { model, ..call })
    }

    fn tell(&self, reservation: &Reservation, used: TokenUse) {
        self.port.tell(reservation, used);
    }

    fn commit(&self, reservation: Reservation, used: TokenUse) -> PortFuture<'_, ()> {
        self.port.commit(reservation, used)
    }

    fn release(&self, reservation: Reservation) {
        self.port.release(reservation);
    }

    fn room(&self) -> Option<PortFuture<'_, ()>> {
        self.port.room()
    }

    fn reach_out(&self) -> Option<PortFuture<'_, ()>> {
        self.port.reach_out()
    }

    fn log(&self, line: LogLine) {
        let redact = |text| self.secrets.redact(text);
        let fields = line.fields.into_iter().map(|(name, value)| (redact(name), redact(value)));
        let (fields, message) = (fields.collect(), redact(line.message));
        self.port.log(LogLine { message, fields, ..line });
    }

    fn progress(&self, fraction: f64, message: String) {
        self.port.progress(fraction, self.secrets.redact(message));
    }

    /// Tells what is settled. An end that may be the beginning of a value is never told.
    fn wrote(&self, stream: Stream, bytes: &[u8]) {
        let Some(needles) = self.secrets.redactions() else {
            return self.port.wrote(stream, bytes);
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let redacted = match stream {
            Stream::Stdout => &mut written.stdout,
            Stream::Stderr => &mut written.stderr,
        };
        let redacted = redacted.get_or_insert_with(|| needles::Stream::new(Arc::clone(&needles)));
        // Another value may have been read since.
        redacted.needles = needles;
        self.port.wrote(stream, &redacted.push(bytes));
    }

    fn denied(&self, message: &str) {
        self.port.denied(&self.secrets.redact(message.to_owned()));
    }

    fn held(&self, destination: &str, wait: Duration) {
        self.port.held(destination, wait);
    }
}
