//! The import `log`: lines are counted here and kept by the task.

use apflow_model::event::{Level, LogLine};
use apflow_model::limit::Bytes;
use wasmtime::Result;

use crate::bindings::apflow::plugin::log::{Field, Host, Level as GuestLevel};
use crate::state::State;

/// What a line or a progress report costs of the log limit beside its texts: the host keeps it,
/// even when it says nothing.
const LINE_BYTES: u64 = 64;
/// What a field costs beside its name and value.
const FIELD_BYTES: u64 = 48;
/// The most fields of a line. The rest is dropped.
const FIELDS_MAX: usize = 64;

impl Host for State {
    async fn write(
        &mut self,
        level: GuestLevel,
        message: String,
        mut fields: Vec<Field>,
    ) -> Result<()> {
        self.stop.check()?;
        if fields.len() > FIELDS_MAX {
            fields.truncate(FIELDS_MAX);
            // The room of the dropped fields would be kept with the line.
            fields.shrink_to_fit();
        }
        let bytes = |field: &Field| FIELD_BYTES + (field.name.len() + field.value.len()) as u64;
        let fields_bytes: u64 = fields.iter().map(bytes).sum();
        if self.take_log_bytes(LINE_BYTES + message.len() as u64 + fields_bytes) {
            let fields = fields.into_iter().map(|field| (field.name, field.value)).collect();
            self.port.log(LogLine { level: level.into(), message, fields });
        }
        self.wait_for_room().await
    }

    async fn progress(&mut self, fraction: f64, message: String) -> Result<()> {
        self.stop.check()?;
        if self.take_log_bytes(LINE_BYTES + message.len() as u64) {
            let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
            self.port.progress(fraction, message);
        }
        self.wait_for_room().await
    }
}

impl State {
    /// Holds up a guest that says more than can be stored meanwhile.
    async fn wait_for_room(&mut self) -> Result<()> {
        if let Some(room) = self.port.room() {
            room.await;
        }
        self.stop.check()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const LIMIT: u64 = 10_000;

    fn state() -> (State, std::sync::Arc<fixture::Lines>) {
        fixture::state(&format!("limits: {{ log: {LIMIT}B }}"))
    }

    fn empty_fields(count: usize) -> Vec<Field> {
        (0..count).map(|_| Field { name: String::new(), value: String::new() }).collect()
    }

    #[tokio::test]
    async fn empty_lines_fill_the_log() {
        let (mut state, lines) = state();
        for _ in 0..LIMIT {
            state.write(GuestLevel::Info, String::new(), Vec::new()).await.unwrap();
        }
        let kept = LIMIT / LINE_BYTES;
        assert_eq!(lines.take().len() as u64, kept + 1, "and one that says that the log is full");
        assert_eq!(state.log_bytes, kept * LINE_BYTES);
    }

    #[tokio::test]
    async fn empty_progress_reports_fill_the_log() {
        let (mut state, _) = state();
        for _ in 0..LIMIT {
            state.progress(0.5, String::new()).await.unwrap();
        }
        assert_eq!(state.log_bytes, LIMIT / LINE_BYTES * LINE_BYTES);
    }

    #[tokio::test]
    async fn a_line_keeps_its_first_fields_and_pays_for_each() {
        let (mut state, lines) = state();
        state.write(GuestLevel::Info, "abc".to_owned(), empty_fields(10_000)).await.unwrap();
        let fields = lines.take().remove(0).fields;
        assert_eq!(fields.len(), FIELDS_MAX);
        assert!(fields.capacity() < 2 * FIELDS_MAX, "{} fields have room", fields.capacity());
        assert_eq!(state.log_bytes, LINE_BYTES + 3 + FIELD_BYTES * FIELDS_MAX as u64);
    }
}
