//! The body of an answer that is a file, read piece by piece while it is sent.

use std::io::{self, Read, Seek, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use cap_std::fs::File;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

/// How much is read at once.
const PIECE_BYTES_MAX: u64 = 64 << 10;

/// The bytes of a file.
pub(super) struct FileBody {
    /// How many bytes are still to be read.
    left: u64,
    state: State,
}

enum State {
    /// Nothing was read yet. The part begins after so many bytes.
    Before(File, u64),
    Idle(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Ended,
}

impl FileBody {
    /// The `size` bytes of a file that come after the first `start`.
    pub(super) fn new(file: File, start: u64, size: u64) -> Self {
        Self { left: size, state: State::Before(file, start) }
    }
}

/// Reads the next piece. A slow reader holds no thread meanwhile.
fn read(mut file: File, bytes_max: u64) -> io::Result<(File, Bytes)> {
    let mut bytes = Vec::new();
    file.by_ref().take(bytes_max).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((file, bytes.into()))
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Before(mut file, start) => {
                    let bytes_max = self.left.min(PIECE_BYTES_MAX);
                    State::Reading(tokio::task::spawn_blocking(move || {
                        file.seek(SeekFrom::Start(start))?;
                        read(file, bytes_max)
                    }))
                }
                State::Idle(file) => {
                    let bytes_max = self.left.min(PIECE_BYTES_MAX);
                    State::Reading(tokio::task::spawn_blocking(move || read(file, bytes_max)))
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(piece) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let piece = piece.map_err(io::Error::other).and_then(|piece| piece);
                    return Poll::Ready(Some(piece.map(|(file, bytes)| {
                        self.left -= bytes.len() as u64;
                        self.state = State::Idle(file);
                        Frame::data(bytes)
                    })));
                }
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
