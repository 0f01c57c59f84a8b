//! A stream that writes to a file and pays for what it adds.
//!
//! It writes in the background, one piece at a time, as the stream of `wasmtime-wasi` does.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use super::watch::OpenFile;

/// The most that a guest may write in one call.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Writes to a file.
pub(super) struct FileStream {
    file: Arc<OpenFile>,
    /// Where the next byte goes. None for the end of the file.
    at: Option<u64>,
    state: State,
}

enum State {
    Ready,
    /// A piece is being written. It answers where the piece ends.
    Writing(JoinHandle<wasmtime::Result<u64>>),
    Failed(wasmtime::Error),
    Closed,
}

impl FileStream {
    /// Writes to `file`, from `at` or at its end.
    pub(super) fn new(file: Arc<OpenFile>, at: Option<u64>) -> Self {
        Self { file, at, state: State::Ready }
    }

    /// Waits for the piece that is being written.
    async fn finish(&mut self) {
        let State::Writing(writing) = &mut self.state else { return };
        self.state = match writing.await {
            Ok(Ok(end)) => {
                self.at = self.at.map(|_| end);
                State::Ready
            }
            Ok(Err(error)) => State::Failed(error),
            Err(error) => State::Failed(wasmtime::Error::new(error)),
        };
    }
}

/// Writes a piece, after its growth was paid for. Answers where it ends.
fn write(file: &OpenFile, bytes: &[u8], at: Option<u64>) -> wasmtime::Result<u64> {
    let _turn = file.books.blocking_turn()?;
    let size = || -> io::Result<u64> { Ok(file.file.file.metadata()?.len()) };
    let before = size()?;
    let from = at.unwrap_or(before);
    let end = from.saturating_add(bytes.len() as u64);
    let growth = end.saturating_sub(before);
    file.books.quota().grow(file.place, growth)?;
    let written = file.file.file.write_all_at(bytes, from);
    if let Err(error) = written {
        let grown = size().map_or(growth, |after| after.saturating_sub(before));
        file.books.quota().shrink(file.place, growth.saturating_sub(grown));
        return Err(error.into());
    }
    Ok(end)
}

#[async_trait]
impl OutputStream for FileStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if !matches!(self.state, State::Ready) {
            return Err(StreamError::trap("write not permitted: check_write not called first"));
        }
        let (file, at) = (Arc::clone(&self.file), self.at);
        self.state = State::Writing(tokio::task::spawn_blocking(move || write(&file, &bytes, at)));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Ready => {
                self.state = State::Ready;
                Ok(CHUNK_BYTES_MAX)
            }
            State::Writing(writing) => {
                self.state = State::Writing(writing);
                Ok(0)
            }
            State::Failed(error) => Err(StreamError::LastOperationFailed(error)),
            State::Closed => Err(StreamError::Closed),
        }
    }

    async fn cancel(&mut self) {
        // What was begun is written: a guest that drops a stream has not taken its bytes back.
        self.finish().await;
        self.state = State::Closed;
    }
}

#[async_trait]
impl Pollable for FileStream {
    async fn ready(&mut self) {
        self.finish().await;
    }
}
