//! Why an exchange failed. An answer with a bad status is not an error here.

use std::fmt;

/// Why there is no response.
///
/// As a [`Fault`](crate::Fault), `Denied` and `TooLarge` are permanent, `Invalid` faults the input,
/// and the others may be retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host does not let the request out; its job history names the grant that would.
    Denied(String),
    /// The exchange took too long. The server may have acted on the request.
    Timeout(String),
    /// The server was not reached, so nothing was sent: no such name, nobody listening, nobody there
    /// in time, or the host leaves it alone for a while.
    Connect(String),
    /// A body or a header section is larger than allowed, on either side.
    TooLarge(String),
    /// The request is malformed. Nothing was sent.
    Invalid(String),
    /// The server, or TLS on the way to it, did not speak the protocol, or the connection was lost.
    /// The server may have acted on the request.
    Protocol(String),
}

impl Error {
    /// Adds whom the request was for. Never the path or the query: they may hold secrets.
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "scripts name the URL"))]
    pub(crate) fn about(mut self, origin: &str) -> Self {
        let (Self::Denied(text)
        | Self::Timeout(text)
        | Self::Connect(text)
        | Self::TooLarge(text)
        | Self::Invalid(text)
        | Self::Protocol(text)) = &mut self;
        *text = format!("`{origin}`: {text}");
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(f, "request denied: {text}"),
            Self::Timeout(text) => write!(f, "request timed out: {text}"),
            Self::Connect(text) => write!(f, "no connection: {text}"),
            Self::TooLarge(text) => write!(f, "too large: {text}"),
            Self::Invalid(text) => write!(f, "invalid request: {text}"),
            Self::Protocol(text) => write!(f, "broken answer: {text}"),
        }
    }
}

impl std::error::Error for Error {}
