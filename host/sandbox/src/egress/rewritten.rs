//! A body in which texts are replaced while it passes.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::secret::{Needles, Stream};

/// What stops a body, by the places of the texts that were found in it.
pub(super) type Stop = Box<dyn FnMut(&BTreeSet<usize>) -> Option<Error> + Send>;

/// A body in which texts are replaced while it passes.
pub(super) struct Rewritten {
    inner: WasiBody,
    stream: Stream,
    stop: Stop,
    /// What comes after the last bytes: its trailers.
    last: Option<Frame<Bytes>>,
    is_over: bool,
}

impl Rewritten {
    pub(super) fn new(inner: WasiBody, stream: Stream, stop: Stop) -> Self {
        Self { inner, stream, stop, last: None, is_over: false }
    }

    /// What of a frame goes on now, if anything.
    fn pass(&mut self, frame: Option<Frame<Bytes>>) -> Option<Frame<Bytes>> {
        let Some(frame) = frame else {
            self.is_over = true;
            return data(self.stream.finish());
        };
        match frame.into_data() {
            Ok(piece) => data(self.stream.push(&piece)),
            Err(other) => {
                let rest = data(self.stream.finish());
                let trailers = other.into_trailers().map(|trailers| {
                    self.stream.hits.extend(hits(&self.stream.needles, &trailers));
                    Frame::trailers(replace(&self.stream.needles, trailers))
                });
                self.last = trailers.ok();
                rest.or_else(|| self.last.take())
            }
        }
    }
}

fn data(bytes: Vec<u8>) -> Option<Frame<Bytes>> {
    (!bytes.is_empty()).then(|| Frame::data(bytes.into()))
}

/// Replaces texts in the values of headers.
pub(super) fn replace(needles: &Needles, mut headers: HeaderMap) -> HeaderMap {
    for value in headers.values_mut() {
        if let Some(replaced) = needles.replace(value.as_bytes()) {
            // What replaces is printable, so the value stays one.
            *value = HeaderValue::from_bytes(&replaced).unwrap_or(HeaderValue::from_static(""));
        }
    }
    headers
}

fn hits(needles: &Needles, headers: &HeaderMap) -> BTreeSet<usize> {
    headers.values().flat_map(|value| needles.hits(value.as_bytes())).collect()
}

impl Body for Rewritten {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(last) = this.last.take() {
                return Poll::Ready(Some(Ok(last)));
            }
            if this.is_over {
                return Poll::Ready(None);
            }
            let frame = ready!(Pin::new(&mut this.inner).poll_frame(context)).transpose();
            let passed = match frame {
                Ok(frame) => this.pass(frame),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            if let Some(error) = (this.stop)(&this.stream.hits) {
                this.is_over = true;
                this.last = None;
                return Poll::Ready(Some(Err(error)));
            }
            if let Some(frame) = passed {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
