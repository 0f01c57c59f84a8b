//! Settings that are taken anew while the host runs.

use std::fs;

use serde_json::{Value, json};

use crate::crashes::gate;
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// What became of the last reload of `config.yaml`.
fn outcome(serving: &Serving<'_>) -> Value {
    let ready = serving.ask("GET /ready", None, b"").is(200).json();
    ready["parts"]["settings"]["config.yaml"].clone()
}

/// Replaces the settings but for the token, and has them taken.
fn reload(serving: &Serving<'_>, settings: &str) -> Value {
    let before = outcome(serving);
    let text = format!("admin_token: {}\n{settings}", serving.token());
    fs::write(serving.host().config_file(), text).unwrap();
    serving.ask_to_reload();
    serving.until(|| outcome(serving)["at"] != before["at"]);
    outcome(serving)
}

#[test]
fn new_settings_apply_at_once_or_are_named_as_waiting() {
    let host = TestHost::new();
    let path = host.data().join("log");
    let serving = Serving::start_logging(&host, &path);
    let collector = Server::start(|_| Reply::json(&json!({})));
    let settings = format!(
        "attempts_max: 3\ntelemetry:\n  log: warn\n  log_format: json\n  otlp: {{ endpoint: \"{}\" }}\n",
        collector.origin()
    );
    assert_eq!(reload(&serving, &settings)["status"], "ok");
    serving.get("/api/v1/jobs").is(200);
    collector.wait_for_hits(1);
    assert_eq!(serving.stop(), Some(0));
    let log = fs::read_to_string(path).unwrap();
    let waiting = log.lines().filter(|line| line.contains("applies after a restart"));
    let waiting = waiting.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut keys = waiting.map(|line| line["fields"]["key"].clone());
    assert!(keys.any(|key| key == "attempts_max"), "{log}");
    assert!(!log.contains("\"answered\""), "what is less than a warning is logged no more: {log}");
}

#[test]
fn settings_with_a_fault_are_refused_as_a_whole() {
    let host = TestHost::new();
    let path = host.data().join("log");
    let serving = Serving::start_logging(&host, &path);
    for fault in [
        "telemetry: { log: \"apflow==loud\" }\n",
        "concurrency: { principal: 0 }\ntelemetry: { log: error }\n",
        "no_such_key: 1\n",
        "concurrency: [\n",
    ] {
        assert_eq!(reload(&serving, fault)["status"], "refused", "{fault}");
    }
    serving.get("/api/v1/jobs").is(200);
    assert_eq!(reload(&serving, "")["status"], "ok");
    let token = serving.token().to_owned();
    assert_eq!(serving.stop(), Some(0));
    let log = fs::read_to_string(path).unwrap();
    assert!(log.contains("no_such_key") && log.contains("what held before goes on"), "{log}");
    assert!(log.contains("answered"), "the log stayed as it was: {log}");
    assert!(!log.contains(&token), "the token is in the log: {log}");
}

#[test]
fn a_limit_that_is_lifted_lets_tasks_go_on() {
    let host = TestHost::new().with_settings("concurrency: { executors: { rest_executor: 1 } }\n");
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let task = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") } });
    let accepted = serving.submit("", &json!({ "tasks": [task, task, task] })).is(202).json();
    server.wait_for_hits(1);
    assert_eq!(reload(&serving, "")["status"], "ok");
    // All three are held at once now.
    server.wait_for_hits(3);
    gate.open();
    assert_eq!(serving.ended(accepted["id"].as_str().unwrap())["state"], "completed");
}
