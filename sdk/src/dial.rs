//! TCP connections by name. The host connects where that was granted, and does TLS with its own
//! roots.
//!
//! A [`Connection`] reads and writes like every other stream, so what is written for
//! [`Read`] and [`Write`] works on it. In an `async` executor, [`Connection::read_async`] and
//! [`Connection::write_all_async`] let other futures go on.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use apflow_sdk::testing::{Host, Peer};
//! use apflow_sdk::{Fault, OrFault, dial};
//!
//! fn greet() -> Result<String, Fault> {
//!     let mut connection = dial::connect("greeter.example", 7000)?.tls()?;
//!     connection.write_all(b"hello\n").or_retryable("greeting")?;
//!     let mut answer = String::new();
//!     connection.read_to_string(&mut answer).or_retryable("reading the answer")?;
//!     Ok(answer)
//! }
//!
//! let peer = Peer::new().starts_tls().expects("hello\n").sends("good day\n");
//! let host = Host::new().expect_dial("greeter.example", 7000, peer);
//! assert_eq!(host.within(greet).unwrap(), "good day\n");
//! ```

pub mod smtp;

use std::fmt;
use std::io::{self, Read, Write};

use crate::{backend, wait};

/// Connects to a host, by name or address. Nothing else goes on meanwhile.
///
/// # Errors
///
/// [`Error`] says why there is no connection.
pub fn connect(host: impl AsRef<str>, port: u16) -> Result<Connection, Error> {
    let address = address(host.as_ref(), port);
    match backend::dial::connect(host.as_ref(), port) {
        Ok(raw) => Ok(Connection { raw, address }),
        Err(error) => Err(Error::new(error, &address)),
    }
}

/// A connection that is open. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    raw: backend::dial::Connection,
    address: String,
}

impl Connection {
    /// Goes on in TLS, for the name that was connected to. Nothing else goes on meanwhile.
    ///
    /// Right after [`connect`] this is what others call implicit TLS; after a few words in the clear
    /// it is STARTTLS.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] when the server's certificate is not trusted, or it does not speak TLS. The
    /// connection is closed then.
    pub fn tls(self) -> Result<Self, Error> {
        let Self { raw, address } = self;
        match raw.secure() {
            Ok(raw) => Ok(Self { raw, address }),
            Err(error) => Err(Error::new(error, &address)),
        }
    }

    /// Logs in to a mail server: reads its greeting, unless STARTTLS came before, and says EHLO and
    /// AUTH. Nothing else goes on meanwhile.
    ///
    /// Do this before anything is read or written, right after [`connect`] or [`tls`](Self::tls).
    /// The connection must be in TLS, or lead to the host's own machine.
    ///
    /// # Errors
    ///
    /// [`smtp::Error`] says why the login was not taken. The connection is closed then.
    pub fn authenticate_smtp(self, login: &smtp::Login) -> Result<Self, smtp::Error> {
        let Self { raw, address } = self;
        Ok(Self { raw: raw.authenticate_smtp(&login.into())?, address })
    }

    /// Reads what has come, at most as much as `buffer` holds; other futures of the executor go on
    /// while it waits. Zero bytes are the end.
    ///
    /// # Errors
    ///
    /// When the connection is lost, the server was silent for too long, or too much went through.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no bytes.
    pub async fn read_async(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.raw.read(buffer).await
    }

    /// Sends all of `bytes`; other futures of the executor go on while it waits.
    ///
    /// # Errors
    ///
    /// As [`read_async`](Self::read_async).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a part of them sent.
    pub async fn write_all_async(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.raw.write(rest).await?;
            rest = &rest[written..];
        }
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait::block_on(self.raw.read(buffer))
    }
}

/// What was written is on its way when a call returns: there is nothing to flush.
impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait::block_on(self.raw.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why there is no connection.
///
/// As a [`Fault`](crate::Fault), `Denied` and `TooMany` are permanent, and the others may be
/// retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host does not let it out. The text says what would.
    Denied(String),
    /// The name leads nowhere.
    Dns(String),
    /// Nobody answers there.
    Refused(String),
    /// It took too long.
    TimedOut(String),
    /// The server's certificate is not trusted, or it does not speak TLS.
    Tls(String),
    /// The attempt has opened as many connections as it may.
    TooMany(String),
}

impl Error {
    fn new(error: backend::dial::Error, address: &str) -> Self {
        use backend::dial::Error as Raw;
        match error {
            Raw::Denied(text) => Self::Denied(text),
            Raw::Dns => Self::Dns(format!("`{address}`: the name leads nowhere")),
            Raw::Refused => Self::Refused(format!("`{address}`: nobody answers there")),
            Raw::TimedOut => Self::TimedOut(format!("`{address}`: it took too long")),
            Raw::Tls(text) => Self::Tls(format!("`{address}`: {text}")),
            Raw::TooMany(most) => Self::TooMany(format!(
                "`{address}`: there were `{most}` already, and may be no more"
            )),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(f, "connection denied: {text}"),
            Self::Dns(text) | Self::Refused(text) => write!(f, "no connection: {text}"),
            Self::TimedOut(text) => write!(f, "connection timed out: {text}"),
            Self::Tls(text) => write!(f, "no TLS: {text}"),
            Self::TooMany(text) => write!(f, "too many connections: {text}"),
        }
    }
}

impl std::error::Error for Error {}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
