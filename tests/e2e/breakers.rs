//! Circuit breakers: what keeps failing is left alone, and tried carefully.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::guests::{CALLS_UNLISTED_HOSTS, PANICS};
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// It answers 503.
    Fails,
    /// It answers nobody yet.
    Thinks,
    /// It answers.
    Answers,
}

/// A server whose mood a test changes.
struct Moody {
    server: Server,
    mood: Arc<(Mutex<Mood>, Condvar)>,
}

impl Moody {
    fn start() -> Self {
        let mood = Arc::new((Mutex::new(Mood::Fails), Condvar::new()));
        let own = Arc::clone(&mood);
        let server = Server::start(move |_| {
            let thinking = own.0.lock().unwrap();
            let mood = own.1.wait_while(thinking, |mood| *mood == Mood::Thinks).unwrap();
            if *mood == Mood::Fails { Reply::status(503) } else { Reply::json(&json!("well")) }
        });
        Self { server, mood }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.0.lock().unwrap() = mood;
        self.mood.1.notify_all();
    }

    fn hits(&self) -> usize {
        self.server.hits().len()
    }

    /// A task that asks it, without a wait between its attempts but those it is told.
    fn asks(&self, max_attempts: u32) -> Value {
        let backoff = json!({ "strategy": "fixed", "base_seconds": 0, "max_seconds": 0 });
        let inputs = json!({ "url": self.server.url("/") });
        json!({ "executor": "rest_executor", "inputs": inputs, "max_attempts": max_attempts,
                "backoff": backoff })
    }

    /// The key of its breaker.
    fn key(&self) -> String {
        format!("destination:{}", self.server.origin())
    }

    /// Lets the executor ask it.
    fn grant(&self, host: &TestHost) {
        let grant = format!("http={}", self.server.origin());
        host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    }
}

/// A host with these breakers.
fn host(breakers: &str) -> TestHost {
    let host = TestHost::new();
    fs::create_dir_all(host.config_file().parent().unwrap()).unwrap();
    fs::write(host.config_file(), format!("breakers: {breakers}\n")).unwrap();
    host
}

fn listed(host: &TestHost) -> Vec<Value> {
    let listed = host.run(&["breakers", "list", "--json"]).succeeds().json();
    listed["breakers"].as_array().unwrap().clone()
}

fn run(host: &TestHost, task: &Value) -> Value {
    let tasks = json!([task]).to_string();
    host.run(&["run", "batch", "--json", "--tasks", &tasks]).json()["tasks"][0].clone()
}

fn submit(serving: &Serving, task: &Value) -> String {
    let job = serving.submit("", &json!({ "tasks": [task] })).is(202).json();
    job["id"].as_str().unwrap().to_owned()
}

/// Runs a task of another executor: whatever was ready before it was looked at by then.
fn dispatches(serving: &Serving) {
    let other = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    serving.submit("?wait=60", &json!({ "tasks": [other] })).is(200);
}

fn faults(task: &Value) -> Vec<&str> {
    let attempts = task["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| attempt["fault"]["code"].as_str().unwrap_or_default()).collect()
}

#[test]
fn an_executor_that_keeps_failing_is_left_alone_and_tried_by_one_task() {
    let host = host("{ executors: { failures: 3, open_seconds: 2 }, destinations: off }");
    let moody = Moody::start();
    moody.grant(&host);
    let serving = Serving::start(&host);
    let failed = serving.ended(&submit(&serving, &moody.asks(3)));
    assert_eq!(faults(&failed["tasks"][0]), ["retryable"; 3]);
    let waiting: Vec<_> = (0..4).map(|_| submit(&serving, &moody.asks(1))).collect();
    dispatches(&serving);
    let job = serving.get(&format!("/api/v1/jobs/{}", waiting[0])).is(200).json();
    let task = &job["tasks"][0];
    assert_eq!(task["state"], "ready", "{task:#}");
    assert_eq!(task["held_by"]["breaker"], "executor:rest_executor");
    let breaker = &serving.get("/api/v1/breakers").is(200).json()["breakers"][0];
    assert_eq!((&breaker["state"], &breaker["failures"]), (&json!("open"), &json!(3)));
    assert_eq!(breaker["until"], task["held_by"]["until"]);
    assert!(breaker["fault"].as_str().unwrap().starts_with("retryable: "), "{breaker:#}");
    assert_eq!(moody.hits(), 3);
    moody.becomes(Mood::Thinks);
    moody.server.wait_for_hits(4);
    dispatches(&serving);
    assert_eq!(moody.hits(), 4, "one probe runs at once");
    moody.becomes(Mood::Answers);
    for id in &waiting {
        let task = &serving.ended(id)["tasks"][0];
        assert_eq!((&task["state"], faults(task)), (&json!("completed"), vec![""]));
    }
    assert_eq!(listed(&host), [Value::Null; 0]);
}

#[test]
fn a_destination_that_keeps_failing_is_left_alone_by_all_executors_and_across_restarts() {
    let host = host("{ destinations: { failures: 3 } }");
    let moody = Moody::start();
    moody.grant(&host);
    assert_eq!(faults(&run(&host, &moody.asks(3))), ["retryable"; 3]);
    // What a destination caused is not held against the executor.
    let breakers = listed(&host);
    assert_eq!(breakers.len(), 1, "{breakers:#?}");
    assert_eq!((&breakers[0]["key"], &breakers[0]["state"]), (&json!(moody.key()), &json!("open")));
    assert_eq!(breakers[0]["fault"], "answered 503");
    let task = run(&host, &moody.asks(1));
    let fault = &task["fault"];
    assert_eq!(fault["code"], "breaker-open", "{task:#}");
    assert!((1..=60_000).contains(&fault["retry_after_ms"].as_u64().unwrap()), "{fault:#}");
    CALLS_UNLISTED_HOSTS.load(&host, "capabilities: { http: [\"http://*:*\"] }");
    let input = json!({ "args": [format!("127.0.0.1:{}", moody.server.port())] }).to_string();
    let grant = format!("http={}", moody.server.origin());
    let name = CALLS_UNLISTED_HOSTS.name();
    let says = format!("held {} is left alone for", moody.server.origin());
    host.run(&["run", name, "--input", &input, "--grant", &grant]).says(&[says]);
    assert_eq!(moody.hits(), 3);
}

#[test]
fn one_request_tries_a_destination_and_the_others_wait_for_it() {
    let host = host("{ destinations: { failures: 2, open_seconds: 1 } }");
    let moody = Moody::start();
    moody.grant(&host);
    let serving = Serving::start(&host);
    serving.ended(&submit(&serving, &moody.asks(2)));
    moody.becomes(Mood::Thinks);
    let waiting: Vec<_> = (0..4).map(|_| submit(&serving, &moody.asks(9))).collect();
    moody.server.wait_for_hits(3);
    dispatches(&serving);
    assert_eq!(moody.hits(), 3, "one probe goes out at once");
    moody.becomes(Mood::Answers);
    for id in &waiting {
        let task = &serving.ended(id)["tasks"][0];
        assert_eq!(task["state"], "completed", "{task:#}");
        assert!(faults(task).iter().all(|fault| matches!(*fault, "" | "breaker-open")), "{task:#}");
    }
    assert_eq!(moody.hits(), 6);
    serving.until(|| listed(&host).is_empty());
}

#[test]
fn what_is_reset_is_tried_at_once() {
    let host = host("{ executors: { failures: 2 }, destinations: { failures: 2 } }");
    PANICS.load(&host, "");
    let backoff = json!({ "strategy": "fixed", "base_seconds": 0, "max_seconds": 0 });
    let task = json!({ "executor": "panics", "max_attempts": 2, "backoff": backoff });
    run(&host, &task);
    let moody = Moody::start();
    moody.grant(&host);
    run(&host, &moody.asks(2));
    moody.becomes(Mood::Answers);
    host.run(&["breakers", "list"]).succeeds();
    let serving = Serving::start(&host);
    assert_eq!(serving.get("/api/v1/breakers").is(200).json()["breakers"][1]["state"], "open");
    let post = |path: &str| {
        serving.ask(&format!("POST /api/v1/breakers/{path}"), Some(serving.token()), b"")
    };
    let path = format!("{}/reset", moody.key().replace("//", "%2F%2F"));
    assert_eq!(post(&path).is(200).json(), json!({ "key": moody.key() }));
    let job = serving.ended(&submit(&serving, &moody.asks(1)));
    assert_eq!(job["state"], "completed", "{job:#}");
    post(&path).is(404).problem(404, "unknown-breaker");
    // The host that serves learns what the command line does.
    let panics = submit(&serving, &task);
    dispatches(&serving);
    assert_eq!(serving.found(&panics, |_| true)["tasks"][0]["state"], "ready");
    host.run(&["breakers", "reset", "executor:panics"]).succeeds();
    assert_eq!(faults(&serving.ended(&panics)["tasks"][0]), ["trapped"; 2]);
    host.run(&["breakers", "reset", "panics"]).exits(2).says(&["expected `executor:NAME`"]);
    let error = host.run(&["breakers", "reset", &moody.key(), "--json"]).exits(1).error();
    assert_eq!(error["code"], "unknown-breaker");
    assert_eq!(post("reset").is(200).json(), json!({ "reset": 1 }));
}

#[test]
fn breakers_can_be_off_and_a_wrong_rule_is_named() {
    let off = host("{ executors: off, destinations: off }");
    let moody = Moody::start();
    moody.grant(&off);
    assert_eq!(faults(&run(&off, &moody.asks(9))), ["retryable"; 9]);
    assert_eq!(listed(&off), [Value::Null; 0]);
    host("{ executors: { failures: 0 } }")
        .run(&["breakers", "list"])
        .exits(70)
        .says(&["`breakers.executors.failures` is `0`, but must be a whole number from 1 to 1000"]);
}
