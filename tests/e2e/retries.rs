//! What is tried again, when, and how often.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apflow_model::clock::Timestamp;
use serde_json::{Value, json};

use crate::guests::PANICS;
use crate::host::TestHost;
use crate::server::{Reply, Server};

#[test]
fn an_overloaded_server_is_asked_again_until_it_answers() {
    let server = overloaded(2, "0");
    let task = run(&server, 5, 0);
    assert_eq!(task["state"], "completed");
    assert_eq!(faults(&task), ["retryable", "retryable", ""]);
    let hits = server.hits();
    assert_eq!(hits.len(), 3);
    let keys = hits.iter().map(|hit| hit.headers["idempotency-key"].as_str());
    let keys: Vec<&str> = keys.collect();
    assert!(keys[0].ends_with(task["id"].as_str().unwrap()), "{keys:?}");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_server_that_stays_overloaded_is_asked_max_attempts_times() {
    let server = overloaded(u32::MAX, "0");
    let task = run(&server, 3, 0);
    assert_eq!(task["state"], "failed");
    assert_eq!(faults(&task), ["retryable"; 3]);
    assert_eq!(server.hits().len(), 3);
}

#[test]
fn the_wait_that_a_server_names_is_kept() {
    let server = overloaded(1, "1");
    let task = run(&server, 2, 0);
    assert_eq!(task["state"], "completed");
    let moment = |attempt: usize, field: &str| -> Timestamp {
        serde_json::from_value(task["attempts"][attempt][field].clone()).unwrap()
    };
    let waited = moment(1, "started_at").since(moment(0, "ended_at"));
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[test]
fn a_task_does_not_start_before_its_moment() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let in_a_second = Timestamp::from_unix_ms(i64::try_from(now.as_millis()).unwrap() + 1_000);
    let task = json!([{ "executor": "transform_executor", "inputs": { "filter": "1" },
                        "run_at": in_a_second.to_string() }]);
    let arguments = ["run", "batch", "--json", "--tasks", &task.to_string()];
    let job = TestHost::new().run(&arguments).succeeds().json();
    let started = serde_json::from_value(job["tasks"][0]["started_at"].clone()).unwrap();
    assert!(in_a_second <= started, "{started} is before {in_a_second}");
}

#[test]
fn a_crash_is_tried_again_and_a_limit_is_not() {
    let host = TestHost::new();
    PANICS.load(&host, "");
    let task = |executor: &str, inputs: Value| {
        let backoff = json!({ "strategy": "fixed", "base_seconds": 0, "max_seconds": 0 });
        json!({ "id": executor, "executor": executor, "inputs": inputs,
                "max_attempts": 3, "backoff": backoff })
    };
    let endless = json!({ "filter": "[range(1e12)] | length" });
    let mut limited = task("transform_executor", endless);
    limited["timeout_seconds"] = json!(0.3);
    let tasks = json!([task("panics", json!({})), limited]).to_string();
    let job = host.run(&["run", "batch", "--json", "--tasks", &tasks]).exits(1).json();
    assert_eq!(faults(&job["tasks"][0]), ["trapped"; 3]);
    assert_eq!(faults(&job["tasks"][1]), ["limit-exceeded"]);
}

/// A server that refuses so many requests with 503 before it answers.
fn overloaded(times: u32, retry_after: &'static str) -> Server {
    let refused = AtomicU32::new(0);
    Server::start(move |_| {
        if refused.fetch_add(1, Ordering::SeqCst) < times {
            Reply::status(503).with("Retry-After", retry_after)
        } else {
            Reply::json(&json!("at last"))
        }
    })
}

/// Asks a server by a task that may be tried so often, and returns the task.
fn run(server: &Server, attempts_max: u32, base_seconds: u32) -> Value {
    let task = json!({
        "executor": "rest_executor",
        "inputs": { "url": server.url("/"), "method": "POST" },
        "max_attempts": attempts_max,
        "backoff": { "strategy": "fixed", "base_seconds": base_seconds, "max_seconds": 1 },
    });
    let (tasks, grant) = (json!([task]).to_string(), format!("http={}", server.origin()));
    let ended =
        TestHost::new().run(&["run", "batch", "--json", "--tasks", &tasks, "--grant", &grant]);
    ended.json()["tasks"][0].clone()
}

/// The fault of each attempt; empty where it went well.
fn faults(task: &Value) -> Vec<&str> {
    let attempts = task["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| attempt["fault"]["code"].as_str().unwrap_or_default()).collect()
}
