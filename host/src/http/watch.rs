//! A job's events as server-sent events: what happened, then what happens, to the job's end.
//!
//! What there is to hand on, and when it ends, [`follow`](super::follow) says.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apflow_api::{ApiError, Events, Input, Operation, Watch, WatchJob};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

use super::follow::{self, Piece};
use super::pass::Pass;
use super::problem::Problem;
use super::{Door, RequestId, route};

const EVENT_STREAM: &str = "text/event-stream";

/// Where a client that lost its connection says what it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Answers whoever accepts a stream of events with one, and hands on everybody else.
pub(super) async fn stream_if_asked(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Response {
    if !accepts_stream(request.headers()) {
        return next.run(request).await;
    }
    let id = RequestId::of(&request);
    match begin(&door, request, &id).await {
        Ok((watch, pass)) => stream(watch, pass, door.ending.clone()),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepts.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == EVENT_STREAM))
}

async fn begin(door: &Door, request: Request, id: &str) -> Result<(Watch, Pass), Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = door.caller(WatchJob::NAME, &parts).await?;
    let refused = |error: ApiError| Problem::of(&error, id);
    let mut fields = route::fields(&mut parts).await?;
    // A client that comes back asks for the address it began with: what it saw last counts.
    if let Some(last) = parts.headers.get(LAST_EVENT_ID) {
        fields.insert("after".to_owned(), String::from_utf8_lossy(last.as_bytes()).into_owned());
    }
    let operation = WatchJob::read(Input { fields, ..Input::default() }).map_err(refused)?;
    let pass = Pass::new(door, &parts, &caller, operation.id);
    let watch = door.api.invoke(operation, &caller).await.map_err(refused)?.events;
    Ok((watch, pass))
}

fn stream(watch: Watch, pass: Pass, ending: watch::Receiver<()>) -> Response {
    let body = Body::new(StreamBody(follow::follow(watch, Arc::new(pass), ending)));
    let no_buffer = HeaderName::from_static("x-accel-buffering");
    let headers = [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-cache"), (no_buffer, "no")];
    (headers, body).into_response()
}

fn text(piece: &Piece) -> String {
    match piece {
        Piece::Events(events) => messages(events),
        Piece::Silence => ":\n\n".to_owned(),
        Piece::Last(last) => {
            format!("event: {}\ndata: {{\"after\":{}}}\n\n", last.why.name(), last.after)
        }
    }
}

fn messages(events: &Events) -> String {
    let mut text = String::new();
    for (event, data) in events.with_json() {
        let (n, kind) = (event.n, event.what.kind());
        // Writing to a text does not fail.
        write!(text, "id: {n}\nevent: {kind}\ndata: {data}\n\n").unwrap_or_default();
    }
    text
}

/// The pieces of a stream as they come.
struct StreamBody(Receiver<Piece>);

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = |piece: Piece| Ok(Frame::data(text(&piece).into()));
        self.0.poll_recv(context).map(|piece| piece.map(data))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_stream_is_for_those_who_accept_one() {
        let accepts = |value: &'static str| {
            accepts_stream(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]))
        };
        assert!(accepts("text/event-stream"));
        assert!(accepts("application/json, text/event-stream;q=0.9"));
        for other in ["application/json", "*/*", "text/*", ""] {
            assert!(!accepts(other), "{other}");
        }
        assert!(!accepts_stream(&HeaderMap::new()));
    }
}
