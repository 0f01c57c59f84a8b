//! How a host ends: what it still does, for how long, and what it leaves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crashes::{faults, gate};
use crate::host::TestHost;
use crate::server::Server;
use crate::serving::Serving;

/// Much less than attempts may go on for without another word.
const SOON: Duration = Duration::from_secs(15);

/// Submits a job that does not end before its gate is opened, and waits until it runs.
fn submit_held(serving: &Serving<'_>, server: &Server) -> String {
    let job = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") },
                      "max_attempts": 1 });
    let accepted = serving.submit("", &job).is(202).json();
    server.wait_for_hits(1);
    accepted["id"].as_str().unwrap().to_owned()
}

fn transform() -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": "1" } })
}

#[test]
fn a_host_that_drains_takes_no_jobs_but_shows_what_there_is_and_lets_it_finish() {
    let host = TestHost::new();
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let known = serving.submit_once("known", "?wait=30", &transform()).is(200).json();
    let token = Some(serving.token());
    let hourly = json!({ "cron": "@hourly", "job": transform() }).to_string();
    serving.ask("PUT /api/v1/schedules/hourly", token, hourly.as_bytes()).is(200);
    let id = submit_held(&serving, &server);
    serving.ask_to_end();
    let unready = serving.ask("GET /ready", None, b"");
    assert!(unready.headers.contains_key("retry-after"));
    unready.problem(503, "draining");
    serving.ask("GET /health", None, b"").is(200);
    let refused = serving.submit("", &transform());
    assert_eq!(refused.headers["retry-after"], "5");
    refused.problem(503, "draining");
    serving.submit_once("new", "", &transform()).problem(503, "draining");
    serving.ask("POST /api/v1/schedules/hourly/trigger", token, b"").problem(503, "draining");
    // What was taken in earlier is answered.
    assert_eq!(serving.submit_once("known", "?wait=30", &transform()).is(200).json(), known);
    assert_eq!(serving.get(&format!("/api/v1/jobs/{id}")).is(200).json()["state"], "running");
    gate.open();
    assert_eq!(serving.wait(), Some(0));
    let ended = host.run(&["jobs", "show", &id, "--json"]).succeeds().json();
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(host.jobs().len(), 2, "a job was taken in that was refused");
}

#[test]
fn who_watches_a_draining_host_sees_the_last_ends_and_is_told_at_its_end() {
    let host = TestHost::new();
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let id = submit_held(&serving, &server);
    let later = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                        "run_at": "2099-01-01T00:00:00Z" });
    let later = serving.submit("", &later).is(202).json();
    let watch = |id: &str| {
        serving.send(&format!(
            "GET /api/v1/jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\
             \r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            serving.token()
        ))
    };
    let streams = [watch(&id), watch(later["id"].as_str().unwrap())];
    serving.ask_to_end();
    gate.open();
    let [ran, waits] = streams.map(|mut stream| {
        let mut all = String::new();
        std::io::Read::read_to_string(&mut stream, &mut all).unwrap();
        all
    });
    assert!(ran.contains("\"state\":\"completed\"") && ran.contains("event: end\n"), "{ran}");
    assert!(waits.contains("event: closing\n"), "{waits}");
    assert_eq!(serving.wait(), Some(0));
}

#[test]
fn who_waits_for_a_job_is_answered_when_the_host_ends() {
    let host = TestHost::new().with_settings("http: { drain_seconds: 1 }\n");
    let (_gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let job = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") } });
    let accepted = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| serving.submit("?wait=300", &job).is(202).json());
        server.wait_for_hits(1);
        serving.ask_to_end();
        waiting.join().unwrap()
    });
    assert!(accepted["id"].is_string(), "{accepted:#}");
    assert_eq!(serving.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once_and_the_job_runs_at_the_next_start() {
    let host = TestHost::new().with_settings("http: { drain_seconds: 3600 }\n");
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let id = submit_held(&serving, &server);
    let since = Instant::now();
    serving.ask_to_end();
    serving.signal("-INT");
    assert_eq!(serving.wait(), Some(0));
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    gate.open();
    let serving = Serving::start(&host);
    let ended = serving.ended(&id);
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(faults(&ended["tasks"][0]), ["host-lost", ""]);
}

#[test]
fn attempts_that_take_too_long_are_stopped_and_run_at_the_next_start() {
    let host = TestHost::new().with_settings("http: { drain_seconds: 0 }\n");
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let id = submit_held(&serving, &server);
    let since = Instant::now();
    assert_eq!(serving.stop(), Some(0));
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    gate.open();
    assert_eq!(Serving::start(&host).ended(&id)["state"], "completed");
}

#[test]
fn an_idle_connection_does_not_hold_the_end_up() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let idle: Vec<_> = (0..20).map(|_| serving.send("")).collect();
    let half: Vec<_> = (0..20).map(|_| serving.send("GET /health HTTP/1.1\r\n")).collect();
    serving.get("/api/v1/jobs").is(200);
    let since = Instant::now();
    assert_eq!(serving.stop(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(2), "it took {:?}", since.elapsed());
    drop((idle, half));
}
