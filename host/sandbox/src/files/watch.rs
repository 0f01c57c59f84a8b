//! What a guest holds open in the folders that it may write to, and the way to their quota.
//!
//! Every change of a file there is made in turn, so that what is measured before a change still
//! holds when it is made: a guest can start writes that go on behind its other calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apflow_model::capability::Capabilities;
use apflow_model::limit::{Breach, Limits};
use tokio::sync;
use wasmtime_wasi::filesystem::File;

use super::quota::{Identity, Place, Quota};

/// The files of one attempt.
pub(crate) struct Watch {
    pub(super) books: Arc<Books>,
    /// What is open, by the number of its descriptor.
    pub(super) held: HashMap<u32, Held>,
}

/// Something that is open in a folder that may be written to.
#[derive(Clone)]
pub(super) enum Held {
    /// A folder, and how many folders it stands in.
    Folder(Place, u32),
    File(Arc<OpenFile>),
}

impl Watch {
    pub(crate) fn new(limits: &Limits, asked: &Capabilities) -> Self {
        let scratch_bytes_max = asked.fs.scratch_bytes.unwrap_or_default();
        let quota = Quota::new(limits.out_bytes, scratch_bytes_max, limits.files);
        let books = Books { turn: sync::Mutex::new(Phase::Open), quota: Mutex::new(quota) };
        Self { books: Arc::new(books), held: HashMap::new() }
    }

    /// The way to its books, which outlives it.
    pub(crate) fn books(&self) -> &Arc<Books> {
        &self.books
    }
}

/// The quota of an attempt, and whose turn it is to change a file.
pub(crate) struct Books {
    turn: sync::Mutex<Phase>,
    quota: Mutex<Quota>,
}

/// Whether files may still be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

/// The right to change a file.
pub(super) struct Turn<'a>(
    #[expect(dead_code, reason = "held for its drop")] sync::MutexGuard<'a, Phase>,
);

/// The attempt has ended: nothing is written any more.
#[derive(Debug, thiserror::Error)]
#[error("the attempt has ended")]
pub(super) struct Over;

impl Books {
    /// Waits for the right to change a file.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Over> {
        admit(self.turn.lock().await)
    }

    /// Waits for the right to change a file, on a thread where blocking is fine.
    pub(super) fn blocking_turn(&self) -> Result<Turn<'_>, Over> {
        admit(self.turn.blocking_lock())
    }

    /// Ends all writing: what was begun is done when this returns, and no other begins.
    pub(crate) async fn close(&self) {
        *self.turn.lock().await = Phase::Closed;
    }

    /// The most bytes that its files held at once.
    pub(crate) fn bytes_peak(&self) -> u64 {
        self.quota().bytes_peak()
    }

    /// What was refused first.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.quota().breach().cloned()
    }

    pub(super) fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn admit(phase: sync::MutexGuard<'_, Phase>) -> Result<Turn<'_>, Over> {
    if *phase == Phase::Closed { Err(Over) } else { Ok(Turn(phase)) }
}

/// A file that is open, by a descriptor and the streams that were made of it.
pub(super) struct OpenFile {
    pub(super) books: Arc<Books>,
    pub(super) place: Place,
    pub(super) file: File,
    identity: Identity,
}

impl OpenFile {
    pub(super) fn new(books: &Arc<Books>, place: Place, file: File, identity: Identity) -> Self {
        books.quota().open(identity);
        Self { books: Arc::clone(books), place, file, identity }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut quota = self.books.quota();
        if quota.close(self.identity) {
            let bytes = self.file.file.metadata().map_or(0, |metadata| metadata.len());
            quota.shrink(self.place, bytes);
        }
    }
}
