//! Streams whose token, or whose role, lets nobody in any more while they are open.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::callers::{Caller, make_token};
use crate::host::TestHost;
use crate::serving::Serving;
use crate::sockets_watch::{Watcher, stop, submit_waiting};
use crate::stream::EventStream;
use crate::tokens::{by_secret, jwt, unix_now};

/// Longer than a host takes to ask for a watcher anew, also when it is busy.
const SOON: Duration = Duration::from_secs(15);

const SECRET: &str = "a-secret-of-tests-that-is-long-enough";

const EVERYBODY: &str = "rate_limits: { enabled: false }\n";

/// Fails unless both streams end with this word before long, after the event that the job begins
/// with, and the WebSocket says that it is refused.
#[track_caller]
fn end_with(stream: EventStream, socket: Watcher, word: &str) {
    let start = Instant::now();
    let (messages, last) = stream.all();
    assert_eq!((last.event.as_str(), &last.data), (word, &json!({ "after": messages.len() })));
    let (messages, code) = socket.all();
    assert_eq!(messages.last().unwrap()["kind"], word, "{messages:?}");
    assert_eq!(code, CloseCode::Policy);
    assert!(start.elapsed() < SOON, "after {:?}", start.elapsed());
}

/// Watches a job in both ways as the holder of a token.
fn watch(serving: &Serving<'_>, job: &str, token: &str) -> (EventStream, Watcher) {
    let mut stream = EventStream::open_as(serving, job, token);
    assert_eq!(stream.next().unwrap().id, Some(1));
    (
        EventStream::open_as(serving, job, token),
        Watcher::open_as(serving, &format!("{job}/watch"), token),
    )
}

#[test]
fn a_stream_ends_soon_after_its_token_is_revoked() {
    for host in TestHost::on_each_database() {
        let host = host.with_policies(EVERYBODY);
        let serving = Serving::start(&host);
        let job = submit_waiting(&serving);
        let made = make_token(&serving, "root", "admin");
        let other = Caller::new(&serving, "other", "admin");
        let (stream, socket) = watch(&serving, &job, made["token"].as_str().unwrap());
        let mut others = EventStream::open_as(&serving, &job, &other.token);
        serving
            .ask(
                &format!("DELETE /api/v1/tokens/{}", made["id"].as_str().unwrap()),
                Some(serving.token()),
                b"",
            )
            .is(200);
        end_with(stream, socket, "unauthorized");
        // That of another token goes on.
        assert_eq!(others.next().unwrap().id, Some(1));
        other.post(&format!("/jobs/{job}/cancel"), &Value::Null).is(200);
        assert_eq!(others.all().1.event, "end");
    }
}

#[test]
fn a_stream_ends_soon_after_its_token_is_past() {
    let auth = format!("auth:\n  leeway_seconds: 0\n  jwt_secrets: [{SECRET}]\n");
    let host = TestHost::new().with_settings(&auth);
    let serving = Serving::start(&host);
    let job = submit_waiting(&serving);
    let claims = json!({ "sub": "ada", "role": "admin", "exp": unix_now() + 4 });
    let token = jwt(&json!({ "alg": "HS256" }), &claims, by_secret(SECRET.as_bytes()));
    let (stream, socket) = watch(&serving, &job, &token);
    end_with(stream, socket, "unauthorized");
}

#[test]
fn a_stream_ends_soon_after_its_role_may_not_read_any_more() {
    let host = TestHost::new().with_policies(EVERYBODY);
    let serving = Serving::start(&host);
    let ada = Caller::new(&serving, "ada", "user");
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                      "run_at": "2999-01-01T00:00:00Z" });
    let job = ada.post("/jobs", &job).is(202).json();
    let (stream, socket) = watch(&serving, job["id"].as_str().unwrap(), &ada.token);
    host.write_policies("roles: { user: { permissions: [jobs-submit] } }\n");
    end_with(stream, socket, "forbidden");
}

#[test]
fn a_stream_of_anothers_job_ends_when_only_ones_own_are_seen() {
    let sees = |what: &str| {
        format!(
            "roles: {{ chief: {{ permissions: [jobs-read, jobs-submit{what}] }} }}\n{EVERYBODY}"
        )
    };
    let host = TestHost::new().with_policies(&sees(", jobs-manage"));
    let serving = Serving::start(&host);
    let chief = Caller::new(&serving, "chief", "chief");
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                      "run_at": "2999-01-01T00:00:00Z" });
    let own = chief.post("/jobs", &job).is(202).json();
    let mut own_stream = EventStream::open_as(&serving, own["id"].as_str().unwrap(), &chief.token);
    let (stream, socket) = watch(&serving, &submit_waiting(&serving), &chief.token);
    host.write_policies(&sees(""));
    end_with(stream, socket, "forbidden");
    // One's own goes on.
    assert_eq!(own_stream.next().unwrap().id, Some(1));
    chief.post(&format!("/jobs/{}/cancel", own["id"].as_str().unwrap()), &Value::Null).is(200);
    assert_eq!(own_stream.all().1.event, "end");
}

#[test]
fn who_may_submit_no_more_stops_nothing() {
    let reads = |more: &str| {
        format!("roles: {{ user: {{ permissions: [jobs-read{more}] }} }}\n{EVERYBODY}")
    };
    let host = TestHost::new().with_policies(&reads(", jobs-submit"));
    let serving = Serving::start(&host);
    let ada = Caller::new(&serving, "ada", "user");
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                      "run_at": "2999-01-01T00:00:00Z" });
    let job = ada.post("/jobs", &job).is(202).json();
    let id = job["id"].as_str().unwrap();
    let mut socket = Watcher::open_as(&serving, &format!("{id}/watch"), &ada.token);
    assert_eq!(socket.next().unwrap()["n"], 1);
    host.write_policies(&reads(""));
    serving.until(|| ada.post(&format!("/jobs/{id}/retry"), &Value::Null).status == 403);
    socket.say(stop());
    let (messages, code) = socket.all();
    assert_eq!(messages.last().unwrap()["problem"]["code"], "forbidden", "{messages:?}");
    assert_eq!(code, CloseCode::Policy);
    assert_eq!(ada.get(&format!("/jobs/{id}")).is(200).json()["state"], "pending");
}
