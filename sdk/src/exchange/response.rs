//! What a server answered.

use std::time::Duration;

use serde::de::DeserializeOwned;

/// An answer with its whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, for example 200. Bad ones are no [`Error`](super::Error).
    pub status: u16,
    /// The headers in the order they came; a name may come twice.
    pub headers: Vec<(String, String)>,
    /// The body, after any transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        super::header(&self.headers, name)
    }

    /// How long the server asks to wait (`Retry-After`). None when it does not say, or not in a way
    /// that can be read.
    pub fn retry_after(&self) -> Option<Duration> {
        super::retry_after::retry_after(&self.headers)
    }

    /// True for a status from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    ///
    /// When the body is not JSON, or not that of a `T`. By `?` it becomes a permanent fault.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
