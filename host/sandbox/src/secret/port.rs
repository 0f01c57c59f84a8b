//! The task behind an attempt, told nothing of the values of secrets.

use std::sync::{Arc, Mutex, PoisonError};

use apflow_model::event::{LogLine, Stream};

use super::{Secrets, needles};
use crate::port::{Checkpoint, CheckpointError, PortFuture, TaskPort};

/// A port that takes the values of secrets out of every text on its way to the task.
pub(super) struct Redacting {
    pub(super) port: Arc<dyn TaskPort>,
    pub(super) secrets: Secrets,
    /// What a command wrote last to each of its streams: the beginning of a value, perhaps.
    pub(super) waiting: [Mutex<Option<needles::Stream>>; 2],
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

    fn tokens_remaining(&self) -> Option<u64> {
        self.port.tokens_remaining()
    }

    fn reserve_tokens(&self, tokens: u64) -> Result<(), u64> {
        self.port.reserve_tokens(tokens)
    }

    fn settle_tokens(&self, reserved: u64, used: u64) {
        self.port.settle_tokens(reserved, used);
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

    fn wrote(&self, stream: Stream, bytes: &[u8]) {
        let Some(redactions) = self.secrets.redactions() else {
            return self.port.wrote(stream, bytes);
        };
        let waiting = match stream {
            Stream::Stdout => &self.waiting[0],
            Stream::Stderr => &self.waiting[1],
        };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let pieces = waiting.get_or_insert_with(|| needles::Stream::new(Arc::clone(&redactions)));
        // Values that were read since the last piece count as well.
        pieces.needles = redactions;
        let bytes = pieces.push(bytes);
        self.port.wrote(stream, &bytes);
    }

    fn denied(&self, message: &str) {
        self.port.denied(&self.secrets.redact(message.to_owned()));
    }
}
