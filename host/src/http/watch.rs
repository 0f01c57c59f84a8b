//! A job's events as server-sent events: what happened, then what happens, to the job's end.
//!
//! A client that is slow or gone costs the job nothing: each stream is a task of its own, which
//! reads no further than its client takes.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use apflow_api::{ApiError, Events, Input, Watch, WatchJob, chain};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::time::timeout;

use super::problem::Problem;
use super::{Door, RequestId, route};

const EVENT_STREAM: &str = "text/event-stream";

/// Where a client that lost its connection says what it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long a stream is silent at most, so that nobody in between takes it for dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a client may take nothing before it is shed.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How many pieces of a stream wait for their client: one of events, and the last word.
const PIECES_WAITING_MAX: usize = 2;

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
        Ok(watch) => stream(watch, door.ending),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepts.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == EVENT_STREAM))
}

async fn begin(door: &Door, request: Request, id: &str) -> Result<Watch, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = door.access.caller(&parts).await?;
    let refused = |error: ApiError| Problem::of(&error, id);
    let mut fields = route::fields(&mut parts).await?;
    // A client that comes back asks for the address it began with: what it saw last counts.
    if let Some(last) = parts.headers.get(LAST_EVENT_ID) {
        fields.insert("after".to_owned(), String::from_utf8_lossy(last.as_bytes()).into_owned());
    }
    let operation = WatchJob::read(Input { fields, ..Input::default() }).map_err(refused)?;
    Ok(door.api.invoke(operation, &caller).await.map_err(refused)?.events)
}

fn stream(watch: Watch, ending: watch::Receiver<()>) -> Response {
    let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    tokio::spawn(pass_on(watch, sender, ending));
    let no_buffer = HeaderName::from_static("x-accel-buffering");
    let headers = [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-cache"), (no_buffer, "no")];
    (headers, Body::new(StreamBody(pieces))).into_response()
}

/// Hands a job's events on as fast as its client takes them, and says at the end why it ends.
async fn pass_on(mut watch: Watch, pieces: Sender<Bytes>, mut ending: watch::Receiver<()>) {
    // A place is kept for the last word: it must not wait for a client that takes nothing.
    let Ok(last_word) = pieces.clone().reserve_owned().await else { return };
    let mut after = watch.after();
    let end = tokio::select! {
        end = pass_on_events(&mut watch, &pieces, &mut after) => end,
        // The sender may be gone, which is an end as well.
        _ = ending.changed() => Some("closing"),
        () = pieces.closed() => None,
    };
    if let Some(end) = end {
        last_word.send(format!("event: {end}\ndata: {{\"after\":{after}}}\n\n").into());
    }
}

/// Hands events on until there are no more, or nobody takes them. Returns why, for who still
/// listens. `after` is the number of the last one that was handed on.
async fn pass_on_events(
    watch: &mut Watch,
    pieces: &Sender<Bytes>,
    after: &mut u64,
) -> Option<&'static str> {
    loop {
        let piece = match timeout(SILENCE_MAX, watch.next()).await {
            Ok(Ok(Some(events))) => text(&events),
            Ok(Ok(None)) => return Some("end"),
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "a job could not be watched any longer");
                return Some("closing");
            }
            Err(_) => ":\n\n".to_owned(),
        };
        match timeout(STALL_MAX, pieces.send(piece.into())).await {
            Ok(Ok(())) => *after = watch.after(),
            Ok(Err(_)) => return None,
            Err(_) => return Some("shed"),
        }
    }
}

fn text(events: &Events) -> String {
    let mut text = String::new();
    for (event, data) in events.with_json() {
        let (n, kind) = (event.n, event.what.kind());
        // Writing to a text does not fail.
        write!(text, "id: {n}\nevent: {kind}\ndata: {data}\n\n").unwrap_or_default();
    }
    text
}

/// The pieces of a stream as they come.
struct StreamBody(Receiver<Bytes>);

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
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
