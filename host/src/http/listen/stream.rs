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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{pause, sleep};

    use super::*;

    const GRACE: Grace = Grace { wait_max: Duration::from_secs(30), bytes_per_second: 500 };

    #[tokio::test]
    async fn a_head_that_comes_byte_by_byte_is_cut_off() {
        pause();
        let (mut client, host) = duplex(64);
        let start = Instant::now();
        let activity = Activity::new();
        let mut host = PacedStream::new(host, activity, Duration::from_secs(10), GRACE);
        let trickle = async {
            sleep(Duration::from_secs(60)).await;
            while client.write_all(b"a").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let mut buffer = Vec::new();
        let read = async {
            let error = host.read_to_end(&mut buffer).await.unwrap_err();
            drop(host);
            error
        };
        let (error, ()) = tokio::join!(read, trickle);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // A minute without a word is not the head's.
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(70) && took <= Duration::from_secs(72), "{took:?}");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off() {
        pause();
        let (_client, host) = duplex(64);
        let start = Instant::now();
        let mut host = PacedStream::new(host, Activity::new(), Duration::from_secs(10), GRACE);
        let error = host.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() <= Duration::from_secs(31));
    }

    #[tokio::test]
    async fn a_client_that_takes_its_time_gets_all() {
        pause();
        let (mut client, host) = duplex(1_000);
        let mut host = PacedStream::new(host, Activity::new(), Duration::from_secs(10), GRACE);
        let take = async {
            let mut left = 200_000;
            let mut buffer = [0; 1_000];
            while left > 0 {
                sleep(Duration::from_secs(1)).await;
                left -= client.read(&mut buffer).await.unwrap();
            }
        };
        let bytes = vec![0; 200_000];
        let (written, ()) = tokio::join!(host.write_all(&bytes), take);
        written.unwrap();
    }
}
