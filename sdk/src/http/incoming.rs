//! An answer whose body is still on its way, for bodies that do not fit into memory.

use std::time::Duration;

use crate::backend::Body;
use crate::exchange::{Error, Response};
use crate::wait;

/// An answer whose body is still on its way. Dropping it closes the connection.
#[derive(Debug)]
pub struct Incoming {
    head: Response,
    body: Body,
    bytes_max: usize,
    bytes: usize,
}

impl Incoming {
    pub(super) fn new(head: Response, body: Body, bytes_max: usize) -> Self {
        Self { head, body, bytes_max, bytes: 0 }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The headers in the order they came; a name may come twice.
    pub fn headers(&self) -> &[(String, String)] {
        &self.head.headers
    }

    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// How long the server asks to wait. See [`Response::retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.head.retry_after()
    }

    /// Waits for the next bytes of the body; none when it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] when the body grows beyond what the request allows, the other cases of
    /// [`Error`] when it does not come to its end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        wait::block_on(self.chunk_async())
    }

    /// As [`chunk`](Self::chunk); other futures of the executor go on while it waits.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    ///
    /// # Cancel safety
    ///
    /// No bytes are lost when the future is dropped.
    pub async fn chunk_async(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(piece) = self.body.next().await? else { return Ok(None) };
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes > self.bytes_max {
            return Err(Error::TooLarge(format!("the body has over `{}` bytes", self.bytes_max)));
        }
        Ok(Some(piece))
    }

    /// Reads the rest of the body into memory.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub fn collect(self) -> Result<Response, Error> {
        wait::block_on(self.collect_async())
    }

    /// As [`collect`](Self::collect); other futures of the executor go on while it waits.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub async fn collect_async(mut self) -> Result<Response, Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk_async().await? {
            if body.is_empty() {
                body = piece;
            } else {
                body.extend_from_slice(&piece);
            }
        }
        Ok(Response { body, ..self.head })
    }
}
