//! Connections over the import `dial`. Every wait gives way to the other futures of the executor.

use std::cell::OnceCell;
use std::io;

use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::poll::ready;
use crate::bindings::apflow::plugin::dial;

pub(crate) use crate::bindings::apflow::plugin::dial::{
    Error, Mechanism, SmtpError, SmtpLogin, SmtpReply,
};

pub(crate) fn connect(host: &str, port: u16) -> Result<Connection, Error> {
    dial::connect(host, port).map(Connection::new)
}

/// A connection and its streams, which are its children: they stand first because they must go
/// first.
///
/// They are taken when they are first used: the host logs in only over a connection that was not
/// spoken through.
#[derive(Debug)]
pub(crate) struct Connection {
    streams: OnceCell<(InputStream, OutputStream)>,
    handle: dial::Connection,
}

impl Connection {
    fn new(handle: dial::Connection) -> Self {
        Self { streams: OnceCell::new(), handle }
    }

    pub(crate) fn secure(self) -> Result<Self, Error> {
        let Self { streams, handle } = self;
        drop(streams);
        dial::Connection::secure(handle).map(Self::new)
    }

    pub(crate) fn authenticate_smtp(self, login: &SmtpLogin) -> Result<Self, SmtpError> {
        let Self { streams, handle } = self;
        drop(streams);
        dial::Connection::authenticate_smtp(handle, login).map(Self::new)
    }

    fn streams(&self) -> io::Result<&(InputStream, OutputStream)> {
        if let Some(streams) = self.streams.get() {
            return Ok(streams);
        }
        let streams = self.handle.streams().ok_or(io::ErrorKind::NotConnected)?;
        Ok(self.streams.get_or_init(|| streams))
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (input, _) = self.streams()?;
        while !buffer.is_empty() {
            match input.read(buffer.len() as u64) {
                Ok(bytes) if bytes.is_empty() => ready(input.subscribe()).await,
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
        let (_, output) = self.streams()?;
        let permitted = permitted(output).await?;
        let length = usize::try_from(permitted).unwrap_or(usize::MAX).min(bytes.len());
        output.write(&bytes[..length]).map_err(words)?;
        output.flush().map_err(words)?;
        self::permitted(output).await?;
        Ok(length)
    }
}

/// Waits until something may be written, and says how much.
async fn permitted(output: &OutputStream) -> io::Result<u64> {
    loop {
        match output.check_write().map_err(words)? {
            0 => ready(output.subscribe()).await,
            permitted => return Ok(permitted),
        }
    }
}

fn words(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}
