//! A connection that does not wait for its client for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::patience::{Grace, Patience};

/// A connection that fails when the head of a request takes too long, or when its client does not
/// take what is written.
pub(super) struct PacedStream<S> {
    inner: S,
    activity: Activity,
    head_max: Duration,
    /// Rings when the head takes too long, once one is coming.
    head: Option<(Instant, Pin<Box<Sleep>>)>,
    writing: Patience,
}

impl<S> PacedStream<S> {
    pub(super) fn new(inner: S, activity: Activity, head_max: Duration, grace: Grace) -> Self {
        Self { inner, activity, head_max, head: None, writing: Patience::new(grace) }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.activity.head_since() else {
            self.head = None;
            return Poll::Pending;
        };
        if self.head.as_ref().is_none_or(|(of, _)| *of != since) {
            self.head = Some((since, Box::pin(sleep_until(since + self.head_max))));
        }
        match &mut self.head {
            Some((_, alarm)) => alarm.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// What a write or flush ends with that came so far.
    fn poll_written<T: Copy>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(written) => {
                self.writing.moved(written.as_ref().map_or(0, |written| bytes(*written)));
                Poll::Ready(written)
            }
            Poll::Pending => {
                ready!(self.writing.poll_wait(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if read.is_pending() {
            ready!(self.poll_head(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if buffer.filled().len() > before {
            self.activity.receives();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.poll_written(context, written, |count| count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.poll_written(context, written, |count| count)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.poll_written(context, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.poll_written(context, shut, |()| 0)
    }
}
