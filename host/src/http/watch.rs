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
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName};
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
const JSON: &str = "application/json";

/// What only pages have.
const OF_PAGES: [&str; 2] = ["limit", "wait"];

/// Where a client that lost its connection says what it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Answers with a stream of events, and hands on whoever asks for a page of them.
pub(super) async fn stream_if_asked(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Response {
    if asks_for_page(&request) {
        return next.run(request).await;
    }
    let id = RequestId::of(&request);
    match begin(&door, request, &id).await {
        Ok((watch, pass)) => stream(watch, pass, door.ending.clone()),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

/// Whether a page is asked for: JSON is accepted and no stream, or it is said how large the page may
/// be or how long to wait for it, which nobody says of a stream.
fn asks_for_page(request: &Request) -> bool {
    let accepts = |wanted: &str| {
        let values = request.headers().get_all(ACCEPT).iter();
        let mut kinds = values.filter_map(|value| {
            value.to_str().ok()?.split(',').find(|kind| {
                kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
            })
        });
        kinds.next().is_some()
    };
    if accepts(EVENT_STREAM) {
        return false;
    }
    let query = request.uri().query().unwrap_or_default();
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    accepts(JSON) || names.any(|name| OF_PAGES.contains(&name))
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
    fn a_page_is_for_those_who_ask_for_json_or_for_what_only_pages_have() {
        let asks = |accept: Option<&'static str>, query: &str| {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = format!("/events{query}").parse().unwrap();
            let accept = accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
            request.headers_mut().extend(accept);
            asks_for_page(&request)
        };
        for page in ["application/json", "Application/JSON;q=0.9", "text/html, application/json"] {
            assert!(asks(Some(page), ""), "{page}");
        }
        for stream in ["text/event-stream", "application/json, text/event-stream;q=0.9", "*/*", ""]
        {
            assert!(!asks(Some(stream), "?after=3"), "{stream}");
        }
        assert!(!asks(None, "") && asks(None, "?after=3&limit=2") && asks(Some("*/*"), "?wait=1"));
        assert!(!asks(Some("text/event-stream"), "?limit=2"), "it is told that streams have none");
    }
}
