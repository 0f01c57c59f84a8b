//! A job's events over a WebSocket: the same as the stream of server-sent events, one JSON text a
//! message, and a way to stop the job.
//!
//! No page of the web can open one in somebody's name: a browser sends no token by itself, and there
//! is no way in without one.

use std::sync::Arc;
use std::time::Duration;

use apflow_api::{
    Api, ApiError, Caller, CancelJob, Code, Events, Input, Operation, Watch, WatchJob,
};
use apflow_model::id::JobId;
use axum::RequestPartsExt;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use axum::response::{IntoResponse, Response};
use futures_util::SinkExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::follow::{self, Last, Piece, STALL_MAX, Why};
use super::pass::{Lapse, Pass};
use super::problem::Problem;
use super::{Door, RequestId, route};

/// What both sides speak, when the client names it.
const PROTOCOL: &str = "apflow.events.v1";
/// What a client that cannot set headers puts before its token, among the protocols it offers.
const BEARER: &str = "bearer.";

/// The most bytes of a message, or of a frame, that a client may send.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// How many bytes of a connection are read, and kept to be written together, at once.
const BUFFER_BYTES: usize = 8 << 10;
/// How long a client may leave a ping unanswered before it is taken for gone.
const PONG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to answer the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers a request for a WebSocket with one.
pub(super) async fn watch(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match open(door, request, &id).await {
        Ok(response) => response,
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn open(door: Door, request: Request, id: &str) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    take_token(&mut parts.headers);
    let caller = door.caller(WatchJob::NAME, &parts).await?;
    let refused = |error: ApiError| Problem::of(&error, id);
    let fields = route::fields(&mut parts).await?;
    let operation = WatchJob::read(Input { fields, ..Input::default() }).map_err(refused)?;
    let upgrade = parts.extract::<WebSocketUpgrade>().await;
    let upgrade = upgrade.map_err(|error| {
        let detail = format!("this path is a WebSocket: {}", error.body_text());
        Problem::new(Code::InvalidRequest, detail)
    })?;
    let job = operation.id;
    let pass = Arc::new(Pass::new(&door, &parts, &caller, job));
    let watch = door.api.invoke(operation, &caller).await.map_err(refused)?.events;
    let session = Session { api: door.api.clone(), caller, pass, job, id: id.to_owned() };
    let ending = door.ending.clone();
    Ok(upgrade
        .protocols([PROTOCOL])
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .on_upgrade(move |socket| session.run(socket, watch, ending)))
}

/// Makes a token among the offered protocols a bearer token, which it is for a browser's script: it
/// can set no header.
fn take_token(headers: &mut HeaderMap) {
    if headers.contains_key(AUTHORIZATION) {
        return;
    }
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered =
        offered.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let token = offered.find_map(|protocol| protocol.trim().strip_prefix(BEARER));
    let header = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    if let Some(mut header) = header {
        header.set_sensitive(true);
        headers.insert(AUTHORIZATION, header);
    }
}

/// What a client may send.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(rename = "signal")]
    _signal: Signal,
}

#[derive(Deserialize)]
enum Signal {
    /// Cancel the job.
    #[serde(rename = "STOP")]
    Stop,
}

/// A client that watches a job, and may stop it.
struct Session {
    api: Api,
    caller: Caller,
    pass: Arc<Pass>,
    job: JobId,
    /// The id of the request that it began with.
    id: String,
}

/// How a session ends.
enum End {
    /// The client is gone, or was first to say so.
    Gone,
    /// The host says why, in a message and in the close.
    Said { word: Value, code: u16 },
}

impl Session {
    async fn run(self, mut socket: WebSocket, watch: Watch, ending: watch::Receiver<()>) {
        // Held until the connection is closed: the host waits for that when it ends.
        let after = watch.after();
        let pieces = follow::follow(watch, Arc::clone(&self.pass), ending.clone());
        let mut stopping = JoinSet::new();
        let end = self.talk(&mut socket, pieces, after, &mut stopping).await;
        // A client that stops the job and goes has stopped it.
        stopping.detach_all();
        match end {
            End::Said { word, code } => say_goodbye(&mut socket, &word, code).await,
            End::Gone => {}
        }
        // The rest of the handshake: an answer is sent, or awaited.
        let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
        drop(timeout(CLOSE_TIMEOUT, closed).await);
        drop(ending);
    }

    /// Hands pieces on and hears the client, until either ends. `after` is the number of the event
    /// that it saw last.
    async fn talk(
        &self,
        socket: &mut WebSocket,
        mut pieces: Receiver<Piece>,
        mut after: u64,
        stopping: &mut JoinSet<Result<(), ApiError>>,
    ) -> End {
        // When the client was asked for a sign of life that it has not given.
        let mut asked_at: Option<Instant> = None;
        loop {
            let gone_at = asked_at.map(|asked_at| asked_at + PONG_TIMEOUT);
            tokio::select! {
                piece = pieces.recv() => match piece {
                    None => return End::Gone,
                    Some(Piece::Last(last)) => return End::of(last),
                    Some(Piece::Silence) => {
                        asked_at.get_or_insert_with(Instant::now);
                        let ping = socket.send(Message::Ping(Bytes::new()));
                        let Ok(Ok(())) = timeout(STALL_MAX, ping).await else { return End::Gone };
                    }
                    Some(Piece::Events(events)) => {
                        match timeout(STALL_MAX, send(socket, &events)).await {
                            Ok(Ok(())) => after = events.last().map_or(after, |event| event.n),
                            Ok(Err(_)) => return End::Gone,
                            Err(_) => return End::of(Last { why: Why::Shed, after }),
                        }
                    }
                },
                heard = socket.recv() => {
                    asked_at = None;
                    match self.hear(heard) {
                        Heard::Stop if stopping.is_empty() => {
                            if let Err(lapse) = self.stop(stopping).await {
                                return End::of(Last { why: Why::Lapsed(lapse), after });
                            }
                        }
                        Heard::Stop | Heard::Nothing => {}
                        Heard::End(end) => return end,
                    }
                }
                Some(stopped) = stopping.join_next() => {
                    if let Ok(Err(error)) = stopped {
                        return self.refuse(&Problem::of(&error, &self.id), close_code::POLICY);
                    }
                }
                () = until(gone_at) => return End::Gone,
            }
        }
    }

    /// Begins to stop the job: the events answer meanwhile. It is done as who the client is now, not
    /// as who it was when it came.
    async fn stop(&self, stopping: &mut JoinSet<Result<(), ApiError>>) -> Result<(), Lapse> {
        let caller = Caller { principal: self.pass.check().await?, ..self.caller.clone() };
        let (api, id) = (self.api.clone(), self.job);
        stopping.spawn(async move { api.invoke(CancelJob { id }, &caller).await.map(drop) });
        Ok(())
    }

    fn hear(&self, heard: Option<Result<Message, axum::Error>>) -> Heard {
        let refuse = |code, detail: String| {
            Heard::End(self.refuse(&Problem::new(Code::InvalidRequest, detail), code))
        };
        match heard {
            None | Some(Ok(Message::Close(_))) => Heard::End(End::Gone),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heard::Nothing,
            Some(Ok(Message::Text(text))) => match serde_json::from_str::<Order>(&text) {
                Ok(_) => Heard::Stop,
                Err(error) => {
                    let detail = format!("{error}: {EXPECTED}");
                    refuse(close_code::POLICY, detail)
                }
            },
            Some(Ok(Message::Binary(_))) => {
                refuse(close_code::UNSUPPORTED, format!("the message is no text: {EXPECTED}"))
            }
            Some(Err(error)) => refuse(
                close_code::PROTOCOL,
                format!("{error}: {EXPECTED}, in at most {MESSAGE_BYTES_MAX} bytes"),
            ),
        }
    }

    fn refuse(&self, problem: &Problem, code: u16) -> End {
        let problem = problem.clone().in_request(self.id.clone());
        End::Said { word: json!({ "kind": "error", "problem": problem }), code }
    }
}

/// What a client can be told to send.
const EXPECTED: &str = "send `{\"signal\":\"STOP\"}`, and nothing else";

/// What a client says.
enum Heard {
    Nothing,
    Stop,
    End(End),
}

impl End {
    fn of(Last { why, after }: Last) -> Self {
        let code = match why {
            Why::End => close_code::NORMAL,
            Why::Closing => close_code::AWAY,
            Why::Shed => close_code::AGAIN,
            Why::Lapsed(_) => close_code::POLICY,
        };
        Self::Said { word: json!({ "kind": why.name(), "after": after }), code }
    }
}

async fn send(socket: &mut WebSocket, events: &Events) -> Result<(), axum::Error> {
    for (_, json) in events.with_json() {
        socket.feed(Message::Text(json.into())).await?;
    }
    socket.flush().await
}

/// Says why, and closes. Whoever takes nothing does not hear it.
async fn say_goodbye(socket: &mut WebSocket, word: &Value, code: u16) {
    let reason = word["kind"].as_str().unwrap_or_default().to_owned().into();
    let goodbye = async {
        socket.feed(Message::Text(word.to_string().into())).await?;
        socket.send(Message::Close(Some(CloseFrame { code, reason }))).await
    };
    match timeout(CLOSE_TIMEOUT, goodbye).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a watcher went before it was told why"),
        Err(_) => tracing::debug!("a watcher was not told why it ends: it takes nothing"),
    }
}

/// Waits until a moment; for ever when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        take_token(&mut map);
        map.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_among_the_protocols_is_a_bearer_token() {
        let taken = authorization(&[("sec-websocket-protocol", "apflow.events.v1, bearer.apf_1")]);
        assert_eq!(taken.as_deref(), Some("Bearer apf_1"));
        let apart = [("sec-websocket-protocol", "a"), ("sec-websocket-protocol", "bearer.t.u.v")];
        assert_eq!(authorization(&apart).as_deref(), Some("Bearer t.u.v"));
        assert_eq!(authorization(&[("sec-websocket-protocol", "apflow.events.v1")]), None);
        assert_eq!(authorization(&[]), None);
    }

    #[test]
    fn a_header_counts_more_than_a_protocol() {
        let both = [("authorization", "Bearer a"), ("sec-websocket-protocol", "bearer.b")];
        assert_eq!(authorization(&both).as_deref(), Some("Bearer a"));
    }

    #[test]
    fn only_the_one_order_is_understood() {
        assert!(serde_json::from_str::<Order>(r#"{"signal":"STOP"}"#).is_ok());
        for other in ["{}", r#"{"signal":"stop"}"#, r#"{"signal":"STOP","job":1}"#, "STOP", "[]"] {
            assert!(serde_json::from_str::<Order>(other).is_err(), "{other}");
        }
    }
}
