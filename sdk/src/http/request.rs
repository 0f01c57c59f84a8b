//! What is asked of a server. Mistakes are kept until the request is sent, so that building one
//! needs no `?` on every line.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use super::incoming::Incoming;
use crate::exchange::{Call, Error, Response, Url, header};
use crate::{backend, wait};

/// How long an exchange may take unless [`Request::timeout`] says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The largest body of an answer unless [`Request::body_bytes_max`] says otherwise: 16 MiB.
pub const BODY_BYTES_MAX_DEFAULT: usize = 16 * 1024 * 1024;

/// A request that is being put together.
///
/// # Examples
///
/// ```
/// use apflow_sdk::http::Request;
/// use apflow_sdk::testing::{Answer, Host};
///
/// # fn main() -> Result<(), apflow_sdk::Fault> {
/// let url = "https://example.com/items?page=2";
/// let host = Host::new().expect("POST", url, Answer::json(201, &["new"]));
/// let response = host.within(|| {
///     Request::post("https://example.com/items")
///         .query("page", 2)
///         .header("authorization", "Bearer …")
///         .json(&["new"])
///         .send()
/// })?;
/// assert_eq!(response.status, 201);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: String,
    url: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Result<Vec<u8>, String>,
    timeout: Duration,
    body_bytes_max: usize,
}

impl Request {
    /// Starts a request; `url` is absolute, `http` or `https`. With `https+insecure` the certificate
    /// of the server is not verified, which needs a grant of its own.
    pub fn new(method: impl AsRef<str>, url: impl AsRef<str>) -> Self {
        Self {
            method: method.as_ref().to_ascii_uppercase(),
            url: url.as_ref().to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Ok(Vec::new()),
            timeout: TIMEOUT_DEFAULT,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
        }
    }

    /// Starts a `GET`.
    pub fn get(url: impl AsRef<str>) -> Self {
        Self::new("GET", url)
    }

    /// Starts a `POST`.
    pub fn post(url: impl AsRef<str>) -> Self {
        Self::new("POST", url)
    }

    /// Starts a `PUT`.
    pub fn put(url: impl AsRef<str>) -> Self {
        Self::new("PUT", url)
    }

    /// Starts a `PATCH`.
    pub fn patch(url: impl AsRef<str>) -> Self {
        Self::new("PATCH", url)
    }

    /// Starts a `DELETE`.
    pub fn delete(url: impl AsRef<str>) -> Self {
        Self::new("DELETE", url)
    }

    /// Starts a `HEAD`.
    pub fn head(url: impl AsRef<str>) -> Self {
        Self::new("HEAD", url)
    }

    /// Adds a header. The host itself sets `host`, `connection` and `transfer-encoding`.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Display) -> Self {
        self.headers.push((name.as_ref().to_owned(), value.to_string()));
        self
    }

    /// Adds a pair to the query, percent-encoded, after those that the URL already has.
    pub fn query(mut self, name: impl AsRef<str>, value: impl Display) -> Self {
        self.query.push((name.as_ref().to_owned(), value.to_string()));
        self
    }

    /// Sets the body to `value` as JSON, and `content-type` unless it is set already.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.body = serde_json::to_vec(value)
            .map_err(|error| format!("the body has no JSON form: {error}"));
        if header(&self.headers, "content-type").is_none() {
            self = self.header("content-type", "application/json");
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(body.into());
        self
    }

    /// Sets how long the exchange may take, [`TIMEOUT_DEFAULT`] without it.
    ///
    /// The connection and each pause in the answer are held to it by the host, the whole exchange
    /// by this crate whenever bytes arrive. The attempt's own deadline stays.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the largest body of the answer, [`BODY_BYTES_MAX_DEFAULT`] without it.
    pub fn body_bytes_max(mut self, bytes_max: usize) -> Self {
        self.body_bytes_max = bytes_max;
        self
    }

    /// Sends the request and waits for the whole answer; nothing else goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the request is malformed; the other cases of [`Error`] when there is
    /// no complete answer. A bad status is no error.
    pub fn send(self) -> Result<Response, Error> {
        wait::block_on(self.send_async())
    }

    /// Sends the request; other futures of the executor go on while it waits.
    ///
    /// Nothing is sent before the future is awaited.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection; the server may have acted on the request.
    pub async fn send_async(self) -> Result<Response, Error> {
        self.open_async().await?.collect_async().await
    }

    /// Sends the request and waits for the head of the answer; the body is read from what is
    /// returned, piece by piece.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn open(self) -> Result<Incoming, Error> {
        wait::block_on(self.open_async())
    }

    /// As [`open`](Self::open); other futures of the executor go on while it waits.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send_async`](Self::send_async).
    pub async fn open_async(self) -> Result<Incoming, Error> {
        let bytes_max = self.body_bytes_max;
        let (head, body) = backend::open(Call::try_from(self)?).await?;
        Ok(Incoming::new(head, body, bytes_max))
    }
}

impl TryFrom<Request> for Call {
    type Error = Error;

    fn try_from(request: Request) -> Result<Self, Error> {
        let Request { method, url, query, headers, body, timeout, body_bytes_max: _ } = request;
        if !is_token(&method) {
            return Err(Error::Invalid(format!("`{method}` is not a method")));
        }
        if let Some((name, _)) = headers.iter().find(|(name, value)| !is_header(name, value)) {
            return Err(Error::Invalid(format!("header `{name}` is malformed")));
        }
        let mut url = Url::parse(&url).map_err(Error::Invalid)?;
        for (name, value) in &query {
            url.add_query(name, value);
        }
        let body = body.map_err(Error::Invalid)?;
        Ok(Self { method, url, headers, body, timeout })
    }
}

/// The `token` of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

/// A line break in a value would start a header of its own.
fn is_header(name: &str, value: &str) -> bool {
    is_token(name) && !value.contains(['\r', '\n', '\0'])
}
