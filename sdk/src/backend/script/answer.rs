//! What a scripted server answers, and what it was asked.

use std::time::Duration;

use serde::Serialize;

use crate::exchange::{self, Error, Response};

/// How an expected request is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) result: Result<Response, Error>,
    pub(super) delay: Duration,
}

impl Answer {
    /// Answers with a status and an empty body.
    pub fn status(status: u16) -> Self {
        Self::bytes(status, Vec::new())
    }

    /// Answers with text.
    pub fn text(status: u16, text: &str) -> Self {
        Self::bytes(status, text).header("content-type", "text/plain; charset=utf-8")
    }

    /// Answers with JSON.
    ///
    /// # Panics
    ///
    /// When `value` has no JSON form.
    #[expect(clippy::panic, reason = "a mistake in a test's script fails the test")]
    pub fn json(status: u16, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::bytes(status, body).header("content-type", "application/json"),
            Err(error) => panic!("the answer has no JSON form: {error}"),
        }
    }

    /// Answers with bytes.
    pub fn bytes(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let response = Response { status, headers: Vec::new(), body: body.into() };
        Self { result: Ok(response), delay: Duration::ZERO }
    }

    /// Fails the exchange.
    pub fn error(error: Error) -> Self {
        Self { result: Err(error), delay: Duration::ZERO }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(response) = &mut self.result {
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Answers only after `delay` of virtual time. One beyond the request's timeout times it out.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A request that the plugin sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The method, in upper case.
    pub method: String,
    /// The URL with its query.
    pub url: String,
    /// The headers as the plugin set them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long the exchange may take.
    pub timeout: Duration,
}

impl Sent {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        exchange::header(&self.headers, name)
    }
}
