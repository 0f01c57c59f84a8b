//! What bytes go through: the stream under a connection, measured, and shared by its users.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apflow_model::limit::{Breach, Limits, Span};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Ledger, Refusal};

/// A stream that goes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream that ends with an error when too much went through it and its like, or when nothing did
/// for too long.
pub(super) struct Metered<S> {
    inner: S,
    bytes_max: u64,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    ledger: Arc<Ledger>,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, limits: &Limits, ledger: Arc<Ledger>) -> Self {
        let (bytes_max, silence_max) = (limits.tcp_bytes, limits.idle_timeout);
        let silence = Box::pin(tokio::time::sleep(silence_max));
        Self { inner, bytes_max, silence_max, silence, ledger }
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.silence.as_mut().reset(Instant::now() + self.silence_max);
        let before = self.ledger.tcp_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.check(before.saturating_add(bytes as u64))
    }

    fn check(&self, bytes: u64) -> io::Result<()> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        let breach = Breach::TcpBytes(self.bytes_max);
        self.ledger.refuse(Refusal::Breach(breach.clone()));
        Err(io::Error::other(breach))
    }

    fn silent(&self) -> io::Error {
        let text = format!(
            "nothing came for {}; `limits.idle_timeout` in its plugin.yaml sets this",
            Span(self.silence_max)
        );
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.count(buffer.filled().len() - before)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(this.silence.as_mut().poll(context));
                Poll::Ready(Err(this.silent()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // What would go over the limit is not sent.
        let sent = this.ledger.tcp_bytes.load(Ordering::Relaxed);
        this.check(sent.saturating_add(bytes.len() as u64))?;
        let written = ready!(Pin::new(&mut this.inner).poll_write(context, bytes))?;
        Poll::Ready(this.count(written).map(|()| written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// The stream under a connection, as both of its ways and whoever secures it hold it.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Option<Box<dyn Stream>>>>);

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// Takes the stream away from all who share it. None when it was taken before.
    pub(super) fn take(&self) -> Option<Box<dyn Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut Box<dyn Stream>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(context))
    }
}
