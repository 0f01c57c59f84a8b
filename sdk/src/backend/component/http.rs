//! One HTTP exchange over `wasi:http`. Every wait gives way to the other futures of the executor.

use std::time::Duration;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::{InputStream, StreamError};

use super::control::deadline;
use super::poll::ready;
use crate::exchange::{Call, Error, Response};

const CHUNK_BYTES: u64 = 64 * 1024;

/// The body of an answer, as it comes. It gives its parts back in this order.
#[derive(Debug)]
pub(crate) struct Body {
    stream: InputStream,
    _body: IncomingBody,
    _answer: IncomingResponse,
    clock: Clock,
    origin: String,
}

impl Body {
    /// Waits for the next bytes; none when the body has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            match self.stream.read(CHUNK_BYTES) {
                Ok(piece) if piece.is_empty() => ready(self.stream.subscribe()).await,
                Ok(piece) => return Ok(Some(piece)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(error)) => {
                    let error = match http_error_code(&error) {
                        Some(code) => code.into(),
                        None => Error::Protocol(error.to_debug_string()),
                    };
                    return Err(error.about(&self.origin));
                }
            }
            self.clock.check().map_err(|error| error.about(&self.origin))?;
        }
    }
}

/// Sends `call` and waits for the head of its answer. The response that is returned has no body yet.
pub(crate) async fn open(call: Call) -> Result<(Response, Body), Error> {
    let clock = Clock { deadline_at_start_ms: deadline(), timeout: call.timeout };
    let origin = call.url.origin();
    let opened = open_by(&clock, call).await.and_then(|answer| {
        let taken = |()| Error::Protocol("the body was taken twice".to_owned());
        let head =
            Response { status: answer.status(), headers: headers(&answer), body: Vec::new() };
        let body = answer.consume().map_err(taken)?;
        Ok((head, body.stream().map_err(taken)?, body, answer))
    });
    let (head, stream, body, answer) = opened.map_err(|error| error.about(&origin))?;
    Ok((head, Body { stream, _body: body, _answer: answer, clock, origin }))
}

async fn open_by(clock: &Clock, call: Call) -> Result<IncomingResponse, Error> {
    let request = OutgoingRequest::new(fields(&call)?);
    request.set_method(&method(&call.method)).map_err(|()| unfit("method"))?;
    request.set_scheme(Some(&scheme(call.url.scheme.name()))).map_err(|()| unfit("scheme"))?;
    request.set_authority(Some(&call.url.authority)).map_err(|()| unfit("authority"))?;
    request.set_path_with_query(Some(&call.url.path_and_query)).map_err(|()| unfit("path"))?;

    let options = RequestOptions::new();
    let nanoseconds = u64::try_from(call.timeout.as_nanos()).unwrap_or(u64::MAX);
    // A host without one of these still stops the attempt at its deadline.
    _ = options.set_connect_timeout(Some(nanoseconds));
    _ = options.set_first_byte_timeout(Some(nanoseconds));
    _ = options.set_between_bytes_timeout(Some(nanoseconds));

    // Taking the body promises to write one; without it the request goes out at once.
    let body =
        if call.body.is_empty() { None } else { Some(request.body().map_err(|()| unfit("body"))?) };
    let answer = outgoing_handler::handle(request, Some(options))?;
    if let Some(body) = body {
        send(body, &call.body, clock).await?;
    }
    let answer = receive(answer).await?;
    clock.check()?;
    Ok(answer)
}

/// Measures the whole exchange without asking for a clock: the attempt's own deadline runs anyway.
#[derive(Debug)]
struct Clock {
    deadline_at_start_ms: u64,
    timeout: Duration,
}

impl Clock {
    fn check(&self) -> Result<(), Error> {
        let passed_ms = self.deadline_at_start_ms.saturating_sub(deadline());
        if Duration::from_millis(passed_ms) > self.timeout {
            return Err(Error::Timeout("the answer took too long".to_owned()));
        }
        Ok(())
    }
}

fn unfit(part: &str) -> Error {
    Error::Invalid(format!("the host refuses the request's {part}"))
}

fn fields(call: &Call) -> Result<Fields, Error> {
    let fields = Fields::new();
    for (name, value) in &call.headers {
        fields.append(name, value.as_bytes()).map_err(|error| match error {
            HeaderError::InvalidSyntax => Error::Invalid(format!("header `{name}` is malformed")),
            HeaderError::Forbidden | HeaderError::Immutable => {
                Error::Invalid(format!("header `{name}` is set by the host alone"))
            }
        })?;
    }
    if call.announces_length() {
        let length = call.body.len().to_string();
        // A host that insists on its own length is free to: then the body goes out in chunks.
        _ = fields.append("content-length", length.as_bytes());
    }
    Ok(fields)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(name: &str) -> Scheme {
    match name {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

/// Writes the body. A server may answer and hang up before it has read everything: what it said is
/// worth more than the broken pipe, so that is not an error here.
async fn send(body: OutgoingBody, bytes: &[u8], clock: &Clock) -> Result<(), Error> {
    {
        let stream = body.write().map_err(|()| unfit("body"))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok(permitted) = stream.check_write() else { return Ok(()) };
            if permitted == 0 {
                ready(stream.subscribe()).await;
                clock.check()?;
                continue;
            }
            let length = usize::try_from(permitted).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(length);
            if stream.write(now).is_err() {
                return Ok(());
            }
            rest = later;
        }
        if stream.flush().is_err() {
            return Ok(());
        }
        ready(stream.subscribe()).await;
    }
    // The answer, or its error, says more than this one does.
    drop(OutgoingBody::finish(body, None));
    Ok(())
}

async fn receive(answer: FutureIncomingResponse) -> Result<IncomingResponse, Error> {
    loop {
        match answer.get() {
            Some(Ok(answer)) => return Ok(answer?),
            Some(Err(())) => return Err(Error::Protocol("the answer was taken twice".to_owned())),
            None => ready(answer.subscribe()).await,
        }
    }
}

fn headers(answer: &IncomingResponse) -> Vec<(String, String)> {
    let entries = answer.headers().entries().into_iter();
    entries.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect()
}
