//! Bodies with a limit on their bytes and on the silence between two frames.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use apflow_model::limit::Breach;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use super::{Ledger, Refusal};

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

/// A body that ends with an error when it grows too large or stays silent too long.
pub(super) struct Bounded<B> {
    inner: B,
    way: Way,
    bytes_max: u64,
    bytes: u64,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    ledger: Arc<Ledger>,
}

impl<B> Bounded<B> {
    pub(super) fn new(
        inner: B,
        way: Way,
        bytes_max: u64,
        silence_max: Duration,
        ledger: Arc<Ledger>,
    ) -> Self {
        let silence = Box::pin(tokio::time::sleep(silence_max));
        Self { inner, way, bytes_max, bytes: 0, silence_max, silence, ledger }
    }

    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.ledger.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        self.ledger.refuse(Refusal::Breach(Breach::HttpBody(self.bytes_max)));
        Err(match self.way {
            Way::Out => Error::HttpRequestBodySize(Some(self.bytes)),
            Way::In => Error::HttpResponseBodySize(Some(self.bytes)),
        })
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    Error: From<B::Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.silence.as_mut().reset(Instant::now() + this.silence_max);
                Poll::Ready(Some(this.count(bytes).map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            // A guest that is slow to write its own body harms only itself.
            Poll::Pending if this.way == Way::Out => Poll::Pending,
            Poll::Pending => this
                .silence
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(Error::ConnectionReadTimeout))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
