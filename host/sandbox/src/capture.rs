//! Where a guest's standard output and error go: memory, up to a limit, and its task.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use apflow_model::event::Stream;
use apflow_model::limit::Breach;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::port::TaskPort;

/// The most that a guest may write in one call.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Keeps what is written to it.
#[derive(Clone)]
pub(crate) struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
    /// What writing more than `bytes_max` breaches. None: the rest is dropped.
    breach: Option<Breach>,
    /// Who is told of it as well.
    told: Option<(Stream, Arc<dyn TaskPort>)>,
}

impl Capture {
    /// Keeps the first bytes and drops the rest.
    pub(crate) fn first(bytes_max: usize) -> Self {
        Self { kept: Arc::default(), bytes_max, breach: None, told: None }
    }

    /// Keeps all of a command's stream and tells its task, and ends the attempt when it is more than
    /// allowed.
    pub(crate) fn all(stream: Stream, bytes_max: u64, task: Arc<dyn TaskPort>) -> Self {
        let breach = match stream {
            Stream::Stdout => Breach::Stdout(bytes_max),
            Stream::Stderr => Breach::Stderr(bytes_max),
        };
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (breach, told) = (Some(breach), Some((stream, task)));
        Self { kept: Arc::default(), bytes_max, breach, told }
    }

    /// Takes out what was kept.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), Breach> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.bytes_max.saturating_sub(kept.len());
        if bytes.len() > room
            && let Some(breach) = &self.breach
        {
            return Err(breach.clone());
        }
        let bytes = &bytes[..bytes.len().min(room)];
        kept.extend_from_slice(bytes);
        if let Some((stream, task)) = &self.told {
            task.wrote(*stream, bytes);
        }
        Ok(())
    }
}

impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.keep(&bytes).map_err(|breach| StreamError::Trap(wasmtime::Error::new(breach)))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(CHUNK_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Capture {
    async fn ready(&mut self) {}
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Capture {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.keep(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Lines;

    #[test]
    fn a_full_capture_drops_or_refuses() {
        let mut first = Capture::first(4);
        first.write(Bytes::from_static(b"abcdef")).unwrap();
        assert_eq!(first.take(), b"abcd");
        let lines = Arc::new(Lines::default());
        let mut all = Capture::all(Stream::Stdout, 4, lines.clone());
        all.write(Bytes::from_static(b"abcd")).unwrap();
        assert!(all.write(Bytes::from_static(b"e")).is_err());
        assert_eq!(lines.written(), b"abcd", "what was refused is not told");
    }
}
