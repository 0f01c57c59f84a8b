//! Jobs that are watched over a WebSocket.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::guests::NEVER_ENDS;
use crate::host::TestHost;
use crate::serving::Serving;
use crate::stream::EventStream;

/// Much less than the host grants open requests at its end.
const SOON: Duration = Duration::from_secs(2);

/// How much more memory a crowd may take up.
const CROWD_BYTES_MAX: u64 = 128 << 20;

/// A watcher on a WebSocket.
pub(crate) struct Watcher(WebSocket<TcpStream>);

impl Watcher {
    /// Watches a job as the operator. `query` is empty or starts with `?`.
    fn open(serving: &Serving<'_>, job: &str, query: &str) -> Self {
        Self::open_as(serving, &format!("{job}/watch{query}"), serving.token())
    }

    /// Watches as the holder of a token, at a path below that of all jobs.
    pub(crate) fn open_as(serving: &Serving<'_>, path: &str, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::try_open(serving, path, &[("authorization", &bearer)]).unwrap().0
    }

    /// Tries to, with these headers. Returns the protocol that the host chose as well, or its
    /// refusal.
    fn try_open(
        serving: &Serving<'_>,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Self, Option<String>), (u16, Value)> {
        let url = format!("ws://127.0.0.1:{}/api/v1/jobs/{path}", serving.port());
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(("127.0.0.1", serving.port())).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                Ok((Self(socket), protocol.map(|value| value.to_str().unwrap().to_owned())))
            }
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn say(&mut self, message: Message) {
        self.0.send(message).unwrap();
    }

    /// The next message as JSON, or the code that the host closed with.
    pub(crate) fn next(&mut self) -> Result<Value, CloseCode> {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => return Err(frame.unwrap().code),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
    }

    /// Every message to the close.
    pub(crate) fn all(mut self) -> (Vec<Value>, CloseCode) {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(message) => all.push(message),
                Err(code) => {
                    // The rest of the handshake: the host ends the connection in order.
                    assert!(matches!(self.0.read(), Err(Error::ConnectionClosed)));
                    return (all, code);
                }
            }
        }
    }
}

pub(crate) fn stop() -> Message {
    Message::text(r#"{"signal":"STOP"}"#)
}

/// Submits a task that does not start while a test runs.
pub(crate) fn submit_waiting(serving: &Serving<'_>) -> String {
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                      "run_at": "2999-01-01T00:00:00Z" });
    let job = serving.submit("", &job).is(202).json();
    job["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_socket_says_what_a_stream_says() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
        let job = serving.submit("?wait=30", &job).is(200).json();
        let id = job["id"].as_str().unwrap();
        let (streamed, _) = EventStream::open(&serving, id, "", None).all();
        let (mut said, code) = Watcher::open(&serving, id, "").all();
        assert_eq!(said.pop().unwrap(), json!({ "kind": "end", "after": streamed.len() }));
        assert!(said.iter().eq(streamed.iter().map(|message| &message.data)));
        assert_eq!(code, CloseCode::Normal);
        let (rest, _) = Watcher::open(&serving, id, "?after=2").all();
        assert_eq!(rest[..rest.len() - 1], said[2..]);
    }
}

#[test]
fn a_watcher_stops_the_job_and_the_events_answer() {
    let host = TestHost::new();
    NEVER_ENDS.load(&host, "limits: { timeout: 1h }");
    let serving = Serving::start(&host);
    let job = serving.submit("", &json!({ "executor": NEVER_ENDS.name() })).is(202).json();
    let mut watcher = Watcher::open(&serving, job["id"].as_str().unwrap(), "");
    while watcher.next().unwrap()["data"]["state"] != "running" {}
    watcher.say(stop());
    // Once more does no harm.
    watcher.say(stop());
    let (said, code) = watcher.all();
    assert!(said.iter().any(|event| event["data"]["state"] == "cancelled"), "{said:#?}");
    assert_eq!((said.last().unwrap()["kind"].as_str(), code), (Some("end"), CloseCode::Normal));
    assert_eq!(serving.ended(job["id"].as_str().unwrap())["state"], "cancelled");
}

#[test]
fn a_watcher_that_stops_the_job_and_goes_has_stopped_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    let mut watcher = Watcher::open(&serving, &id, "");
    watcher.say(stop());
    watcher.0.close(None).unwrap();
    drop(watcher);
    assert_eq!(serving.ended(&id)["state"], "cancelled");
}

#[test]
fn a_client_that_says_anything_else_is_told_so_and_closed() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    for (message, code) in [
        (Message::text("STOP"), CloseCode::Policy),
        (Message::text(r#"{"signal":"STOP","job":"x"}"#), CloseCode::Policy),
        (Message::text(r#"{"signal":"PAUSE"}"#), CloseCode::Policy),
        (Message::binary(r#"{"signal":"STOP"}"#), CloseCode::Unsupported),
        (Message::text("x".repeat(5_000)), CloseCode::Protocol),
    ] {
        let mut watcher = Watcher::open(&serving, &id, "?after=1");
        watcher.say(message);
        let error = watcher.next().unwrap();
        assert_eq!(
            (&error["kind"], &error["problem"]["code"]),
            (&json!("error"), &json!("invalid-request"))
        );
        let detail = error["problem"]["detail"].as_str().unwrap();
        assert!(detail.contains(r#"send `{"signal":"STOP"}`, and nothing else"#), "{detail}");
        assert_eq!(watcher.next(), Err(code));
    }
    assert_eq!(serving.get(&format!("/api/v1/jobs/{id}")).is(200).json()["state"], "pending");
}

#[test]
fn a_browser_brings_its_token_among_the_protocols_and_no_page_gets_in_without() {
    let host = TestHost::new().with_settings("http: { origins: [\"https://a.example\"] }\n");
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    let path = format!("{id}/watch");
    let open =
        |path: &str, headers: &[(&'static str, &str)]| Watcher::try_open(&serving, path, headers);
    let offered = format!("apflow.events.v1, bearer.{}", serving.token());
    let headers = [("sec-websocket-protocol", offered.as_str()), ("origin", "https://a.example")];
    let (mut watcher, protocol) = open(&path, &headers).unwrap_or_else(|_| panic!("refused"));
    // The token is not said again.
    assert_eq!(protocol.as_deref(), Some("apflow.events.v1"));
    assert_eq!(watcher.next().unwrap()["n"], 1);
    let refused = |path: &str, headers: &[(&'static str, &str)]| {
        let (status, problem) = open(path, headers).err().unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let wrong = format!("apflow.events.v1, bearer.{}0", serving.token());
    for offered in ["apflow.events.v1", "apflow.events.v1, bearer.", &wrong] {
        let headers = [("sec-websocket-protocol", offered), ("origin", "https://a.example")];
        assert_eq!(refused(&path, &headers), (401, "unauthorized".to_owned()));
    }
    let bearer = format!("Bearer {}", serving.token());
    let operator = [("authorization", bearer.as_str())];
    let code = |path: &str| refused(path, &operator);
    assert_eq!(code("j_0000000000000/watch"), (404, "unknown-job".to_owned()));
    assert_eq!(code(&format!("{path}?after=no")), (400, "invalid-request".to_owned()));
    assert_eq!(code(&format!("{path}?limit=1")), (400, "invalid-request".to_owned()));
    let plain = serving.get(&format!("/api/v1/jobs/{path}")).problem(400, "invalid-request");
    assert!(plain["detail"].as_str().unwrap().contains("WebSocket"), "{plain:#}");
}

#[test]
fn a_host_that_ends_closes_its_sockets_with_a_word() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    let mut watchers: Vec<_> = (0..20).map(|_| Watcher::open(&serving, &id, "")).collect();
    assert!(watchers.iter_mut().all(|watcher| watcher.next().unwrap()["n"] == 1));
    let mut stream = EventStream::open(&serving, &id, "?after=1", None);
    let start = Instant::now();
    serving.ask_to_end();
    for watcher in watchers {
        let closing = json!({ "kind": "closing", "after": 1 });
        assert_eq!(watcher.all(), (vec![closing], CloseCode::Away));
    }
    assert_eq!(stream.next().unwrap().event, "closing");
    assert_eq!(serving.wait(), Some(0));
    assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
}

#[test]
fn a_client_that_is_gone_holds_up_no_end() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    // Neither of them says that it goes, or answers anything any more.
    let mut silent: Vec<_> = (0..20).map(|_| Watcher::open(&serving, &id, "")).collect();
    assert!(silent.iter_mut().all(|watcher| watcher.next().unwrap()["n"] == 1));
    let start = Instant::now();
    serving.ask_to_end();
    assert_eq!(serving.wait(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn a_crowd_watches_one_job_in_little_memory() {
    // Both sides have a connection for each, and the host takes its limit over from here.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    serving.get(&format!("/api/v1/jobs/{id}")).is(200);
    let before = resident(&serving);
    let streams: Vec<_> = (0..1_000).map(|_| EventStream::open(&serving, &id, "", None)).collect();
    let mut sockets: Vec<_> = (0..200).map(|_| Watcher::open(&serving, &id, "")).collect();
    for socket in &mut sockets {
        assert_eq!(socket.next().unwrap()["n"], 1);
    }
    sockets[0].say(stop());
    let (late, last) = EventStream::open(&serving, &id, "", None).all();
    assert_eq!((late.len() > 1, last.event.as_str()), (true, "end"));
    for socket in sockets {
        let (said, code) = socket.all();
        let events = late[1..].iter().map(|message| &message.data);
        assert!(said[..said.len() - 1].iter().eq(events), "{said:#?}");
        assert_eq!(code, CloseCode::Normal);
    }
    for stream in streams {
        assert_eq!(stream.all(), (late.clone(), last.clone()));
    }
    let grown = resident(&serving).saturating_sub(before);
    println!("1200 watchers took up {} MiB more at most", grown >> 20);
    assert!(grown < CROWD_BYTES_MAX, "{} MiB", grown >> 20);
}

/// The most memory that a host had so far, in bytes.
fn resident(serving: &Serving<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}
