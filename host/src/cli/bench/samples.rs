//! What the benchmarks of the engine and of its store share.

use std::time::Duration;

use apflow_model::limit::Bytes;
use serde_json::{Value, json};

use super::report::Row;

/// The largest crowd of clients.
pub(super) const CLIENTS_MAX: u32 = 128;

/// A job of one task that does nothing.
pub(super) fn one() -> Value {
    json!({ "executor": "noop_executor", "inputs": {} })
}

/// What was measured, row by row.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) times: Vec<(String, Vec<Duration>)>,
    pub(super) memory: Vec<Bytes>,
}

impl Samples {
    pub(super) fn add(&mut self, row: impl Into<String>, time: Duration) {
        let row = row.into();
        match self.times.iter_mut().find(|(name, _)| *name == row) {
            Some((_, times)) => times.push(time),
            None => self.times.push((row, vec![time])),
        }
    }

    /// Adds what was measured in one more round.
    pub(super) fn append(&mut self, round: Self) {
        for (row, times) in round.times {
            for time in times {
                self.add(row.clone(), time);
            }
        }
    }

    pub(super) fn rows(mut self) -> Vec<Row> {
        let mut rows: Vec<_> =
            self.times.into_iter().filter_map(|(name, times)| Row::new(name, times)).collect();
        // The first part warms what stays warm, so flat is what comes after it.
        let (first, last) = (self.memory.first().copied(), self.memory.pop());
        rows.extend(Row::sizes("memory_first", first.as_slice()));
        rows.extend(Row::sizes("memory_last", last.as_slice()));
        rows
    }
}
