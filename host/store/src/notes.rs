//! Lines of the audit that nobody waits for: they are gathered, and added together.
//!
//! A commit for each call that only reads would cost more than the call.

use std::time::Duration;

use apflow_model::audit::Record;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::chain::Append;
use crate::writer::Writer;

/// The most lines that wait. Who has one more waits for room.
const LINES_WAITING_MAX: usize = 4_096;

/// The most lines that are added together.
const LINES_TOGETHER_MAX: usize = 1_024;

/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(200);

/// The way to the task that gathers lines.
#[derive(Debug, Clone)]
pub(crate) struct Notes(mpsc::Sender<Note>);

enum Note {
    Line(Record),
    /// Answered once all that came before is stored.
    Flush(oneshot::Sender<()>),
}

impl Notes {
    /// Starts the task that gathers lines.
    pub(crate) fn start(writer: Writer) -> Self {
        let (sender, notes) = mpsc::channel(LINES_WAITING_MAX);
        tokio::spawn(gather(writer, notes));
        Self(sender)
    }

    /// Adds a line. It waits for room, and not for the line to be stored.
    pub(crate) async fn add(&self, record: Record) {
        // The task ends with the last sender, so it is there.
        self.0.send(Note::Line(record)).await.ok();
    }

    /// Waits until all that was added is stored, or known not to be.
    pub(crate) async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        if self.0.send(Note::Flush(reply)).await.is_ok() {
            answer.await.unwrap_or_default();
        }
    }
}

async fn gather(writer: Writer, mut notes: mpsc::Receiver<Note>) {
    while let Some(first) = notes.recv().await {
        let until = Instant::now() + GATHER;
        let (mut records, mut flushed) = (Vec::new(), None);
        let mut next = Some(first);
        while let Some(note) = next {
            match note {
                Note::Line(record) => records.push(record),
                Note::Flush(reply) => flushed = Some(reply),
            }
            if flushed.is_some() || records.len() >= LINES_TOGETHER_MAX {
                break;
            }
            next = timeout_at(until, notes.recv()).await.unwrap_or_default();
        }
        add(&writer, records).await;
        if let Some(reply) = flushed {
            reply.send(()).unwrap_or_default();
        }
    }
}

async fn add(writer: &Writer, records: Vec<Record>) {
    if records.is_empty() {
        return;
    }
    let (kept, append) = (records.clone(), Append(records));
    if let Err(error) = writer.write(append).await {
        for record in kept {
            let line = serde_json::to_string(&record).unwrap_or_default();
            tracing::error!(%error, line, "a line of the audit could not be stored");
        }
    }
}
