//! The import `log`: lines are counted here and kept by the task.

use apflow_model::event::{Level, LogLine};
use apflow_model::limit::Bytes;
use wasmtime::Result;

use crate::bindings::apflow::plugin::log::{Field, Host, Level as GuestLevel};
use crate::state::State;

/// What a progress report costs of the log limit beside its text, so that empty ones end as well.
const PROGRESS_BYTES: u64 = 16;

impl Host for State {
    fn write(&mut self, level: GuestLevel, message: String, fields: Vec<Field>) -> Result<()> {
        let texts = fields.iter().map(|field| field.name.len() + field.value.len());
        let bytes = texts.sum::<usize>() + message.len() + 1;
        if self.take_log_bytes(bytes as u64) {
            let fields = fields.into_iter().map(|field| (field.name, field.value)).collect();
            self.port.log(LogLine { level: level.into(), message, fields });
        }
        Ok(())
    }

    fn progress(&mut self, fraction: f64, message: String) -> Result<()> {
        if self.take_log_bytes(message.len() as u64 + PROGRESS_BYTES) {
            let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
            self.port.progress(fraction, message);
        }
        Ok(())
    }
}

impl State {
    /// Charges the log limit. The first line that does not fit is answered with a note, the rest
    /// with silence.
    fn take_log_bytes(&mut self, bytes: u64) -> bool {
        if self.is_log_full {
            return false;
        }
        let limit = self.plan.limits.log_bytes;
        let used = self.log_bytes.saturating_add(bytes);
        if used <= limit {
            self.log_bytes = used;
            return true;
        }
        self.is_log_full = true;
        self.port.log(LogLine {
            level: Level::Warn,
            message: format!(
                "the log is full at {}: later lines are dropped; `limits.log` in its plugin.yaml \
                 sets this",
                Bytes(limit)
            ),
            fields: Vec::new(),
        });
        false
    }
}

impl From<GuestLevel> for Level {
    fn from(level: GuestLevel) -> Self {
        match level {
            GuestLevel::Trace => Self::Trace,
            GuestLevel::Debug => Self::Debug,
            GuestLevel::Info => Self::Info,
            GuestLevel::Warn => Self::Warn,
            GuestLevel::Error => Self::Error,
        }
    }
}
