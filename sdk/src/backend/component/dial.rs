//! Connections over the import `dial`. Every wait gives way to the other futures of the executor.

use std::io;

use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::poll::ready;
use crate::bindings::apflow::plugin::dial;

pub(crate) use crate::bindings::apflow::plugin::dial::Error;

pub(crate) fn connect(host: &str, port: u16) -> Result<Connection, Error> {
    Connection::new(dial::connect(host, port)?)
}

/// A connection and its streams, which are its children: they stand first because they must go
/// first.
#[derive(Debug)]
pub(crate) struct Connection {
    input: InputStream,
    output: OutputStream,
    handle: dial::Connection,
}

impl Connection {
    fn new(handle: dial::Connection) -> Result<Self, Error> {
        let (input, output) = handle.streams().ok_or(Error::Refused)?;
        Ok(Self { input, output, handle })
    }

    pub(crate) fn secure(self) -> Result<Self, Error> {
        let Self { input, output, handle } = self;
        drop((input, output));
        Self::new(dial::Connection::secure(handle)?)
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            match self.input.read(buffer.len() as u64) {
                Ok(bytes) if bytes.is_empty() => ready(self.input.subscribe()).await,
                Ok(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(&bytes);
                    return Ok(bytes.len());
                }
                Err(StreamError::Closed) => break,
                Err(error) => return Err(words(error)),
            }
        }
        Ok(0)
    }

    /// Writes some of `bytes`, and waits until they are on their way.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let permitted = self.permitted().await?;
        let length = usize::try_from(permitted).unwrap_or(usize::MAX).min(bytes.len());
        self.output.write(&bytes[..length]).map_err(words)?;
        self.output.flush().map_err(words)?;
        self.permitted().await?;
        Ok(length)
    }

    /// Waits until something may be written, and says how much.
    async fn permitted(&mut self) -> io::Result<u64> {
        loop {
            match self.output.check_write().map_err(words)? {
                0 => ready(self.output.subscribe()).await,
                permitted => return Ok(permitted),
            }
        }
    }
}

fn words(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}
