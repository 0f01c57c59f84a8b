//! Hosts that run jobs on each other: one submission, one job, one end, whatever dies on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::crashes::{faults, gate};
use crate::guests::SLEEPS_FOREVER;
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// The token of every host here, which every other knows.
const TOKEN: &str = "apf_0123456789abcdef0123456789abcdef0123456789abcdef";

/// A host that may call the others.
fn host() -> TestHost {
    let host = TestHost::new().with_settings(&format!("admin_token: {TOKEN}\n"));
    // Each is a copy of one that was started before, and a copy would be taken for the same host.
    host.spoil(&["UPDATE host SET id = 'h_' || lower(hex(randomblob(8)))"]);
    let folder = host.config_file().parent().unwrap().to_owned();
    let key = folder.join("key");
    fs::write(&key, TOKEN).unwrap();
    let (key, secrets) = (key.display(), folder.join("secrets.yaml"));
    let text = format!(
        "apflow_api_token: {{ from: {{ file: {key} }}, http: [\"http://127.0.0.1:*\"] }}\n"
    );
    fs::write(&secrets, text).unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    host.run(&[
        "load",
        "apflow_api_executor",
        "--grant",
        "http=http://127.0.0.1:*",
        "--grant",
        "secret=apflow_api_token",
    ])
    .succeeds();
    host
}

/// A task that runs a job on another host.
fn on(other: &Serving<'_>, job: &Value) -> Value {
    json!({ "executor": "apflow_api_executor", "inputs": { "url": other.url(), "job": job } })
}

fn transform(filter: &str) -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": filter } })
}

/// The only job of a host.
#[track_caller]
fn only_job(serving: &Serving<'_>) -> Value {
    let listed = serving.get("/api/v1/jobs").is(200).json();
    let jobs = listed["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1, "{listed:#}");
    serving.get(&format!("/api/v1/jobs/{}", jobs[0]["id"].as_str().unwrap())).is(200).json()
}

fn count(serving: &Serving<'_>) -> usize {
    serving.get("/api/v1/jobs").is(200).json()["jobs"].as_array().unwrap().len()
}

fn submit(serving: &Serving<'_>, job: &Value) -> String {
    serving.submit("", job).is(202).json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_job_runs_on_another_host_and_comes_back() {
    let (a, b) = (host(), host());
    let (a, b) = (Serving::start(&a), Serving::start(&b));
    let ended = a.submit("?wait=60", &on(&b, &transform("\"hello\" | debug"))).is(200).json();
    let task = &ended["tasks"][0];
    assert_eq!(task["state"], "completed", "{ended:#}");
    let job = only_job(&b);
    let expected = json!({ "url": b.url(), "job_id": job["id"], "output": "hello",
                           "outputs": { "task-1": "hello" } });
    assert_eq!(task["output"], expected);
    assert_eq!(job["hops"].as_array().unwrap().len(), 1, "{job:#}");
    let id = ended["id"].as_str().unwrap();
    let events = a.get(&format!("/api/v1/jobs/{id}/events")).is(200).json();
    let is_line = |event: &Value| event["kind"] == "log" && event["data"]["message"] == "\"hello\"";
    assert!(events["events"].as_array().unwrap().iter().any(is_line), "{events:#}");
}

#[test]
fn tasks_of_the_other_host_refer_to_each_other() {
    let (a, b) = (host(), host());
    let (a, b) = (Serving::start(&a), Serving::start(&b));
    let second = json!({ "filter": ". + 1", "input": { "$$from": "first" } });
    let there = json!({ "tasks": [
        { "id": "first", "executor": "transform_executor", "inputs": { "filter": "6" } },
        { "id": "second", "executor": "transform_executor", "dependencies": ["first"],
          "inputs": second },
    ] });
    let ended = a.submit("?wait=60", &on(&b, &there)).is(200).json();
    let output = &ended["tasks"][0]["output"];
    assert_eq!(output["outputs"], json!({ "first": 6, "second": 7 }), "{ended:#}");
}

#[test]
fn cancelling_the_task_cancels_the_job() {
    let (a, b) = (host(), host());
    SLEEPS_FOREVER.load(&b, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
    let (a, b) = (Serving::start(&a), Serving::start(&b));
    let id = submit(&a, &on(&b, &json!({ "executor": "sleeps_forever" })));
    b.until(|| count(&b) == 1 && only_job(&b)["tasks"][0]["state"] == "running");
    a.ask(&format!("POST /api/v1/jobs/{id}/cancel"), Some(TOKEN), b"").is(200);
    assert_eq!(a.ended(&id)["state"], "cancelled");
    assert_eq!(only_job(&b)["state"], "cancelled");
}

#[test]
fn a_host_that_is_killed_takes_up_the_job_of_the_other() {
    let (a, b) = (host(), host());
    let (gate, server) = gate(&b);
    let (serving, b) = (Serving::start(&a), Serving::start(&b));
    let there = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") } });
    let id = submit(&serving, &on(&b, &there));
    server.wait_for_hits(1);
    let submitted = |job: &Value| !checkpoints(&serving, job).is_empty();
    serving.found(&id, submitted);
    serving.kill();
    let serving = Serving::start(&a);
    gate.open();
    let ended = serving.ended(&id);
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(faults(&ended["tasks"][0]), ["host-lost", ""]);
    assert_eq!(only_job(&b)["tasks"][0]["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_host_is_waited_for_when_the_other_is_killed() {
    let (a, b) = (host(), host());
    let (gate, server) = gate(&b);
    let (a, serving) = (Serving::start(&a), Serving::start(&b));
    let there = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") } });
    let id = submit(&a, &on(&serving, &there));
    server.wait_for_hits(1);
    a.found(&id, |job| !checkpoints(&a, job).is_empty());
    let port = serving.port();
    serving.kill();
    gate.open();
    let b = Serving::start_at(&b, port);
    let ended = a.ended(&id);
    assert_eq!(ended["state"], "completed", "{ended:#}");
    let there = only_job(&b);
    assert_eq!(ended["tasks"][0]["output"]["job_id"], there["id"]);
    assert_eq!(faults(&there["tasks"][0]), ["host-lost", ""]);
}

/// The steps that the only task of a job has saved.
fn checkpoints(serving: &Serving<'_>, job: &Value) -> Vec<Value> {
    let path = format!("/api/v1/tasks/{}/checkpoints", job["tasks"][0]["id"].as_str().unwrap());
    serving.get(&path).is(200).json()["checkpoints"].as_array().unwrap().clone()
}

#[test]
fn a_host_that_is_out_of_reach_is_tried_again() {
    let a = host();
    let a = Serving::start(&a);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let job = json!({ "executor": "apflow_api_executor", "max_attempts": 2,
                      "backoff": { "strategy": "fixed", "base_seconds": 0.1 },
                      "inputs": { "url": format!("http://{nobody}"), "job": transform("1") } });
    let ended = a.ended(&submit(&a, &job));
    assert_eq!(faults(&ended["tasks"][0]), ["retryable"; 2], "{ended:#}");
}

#[test]
fn a_failure_comes_back_and_a_redrive_goes_through() {
    let (a, b) = (host(), host());
    let answers = std::sync::Mutex::new(vec![200, 404]);
    let server = Server::start(move |_| Reply::status(answers.lock().unwrap().pop().unwrap()));
    let grant = format!("http={}", server.origin());
    b.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    let (a, b) = (Serving::start(&a), Serving::start(&b));
    let there = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/") } });
    let id = submit(&a, &on(&b, &there));
    let failed = a.ended(&id);
    let fault = &failed["tasks"][0]["fault"];
    assert_eq!(fault["code"], "permanent", "{failed:#}");
    let message = fault["message"].as_str().unwrap();
    assert!(message.contains("failed: permanent: ") && message.contains("404"), "{message}");
    a.ask(&format!("POST /api/v1/jobs/{id}/retry"), Some(TOKEN), b"").is(200);
    let ended = a.found(&id, |job| job["state"] != "failed" && job["ended_at"].is_string());
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(only_job(&b)["tasks"][0]["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_job_that_the_other_host_refuses_faults_the_input() {
    let (a, b) = (host(), host());
    let (a, b) = (Serving::start(&a), Serving::start(&b));
    let ended = a.ended(&submit(&a, &on(&b, &json!({ "executor": "nobody" }))));
    let fault = &ended["tasks"][0]["fault"];
    assert_eq!(fault["code"], "invalid-input", "{ended:#}");
    assert!(fault["message"].as_str().unwrap().contains("422 unknown-executor"), "{fault}");
    assert_eq!(count(&b), 0);
}

#[test]
fn a_ring_of_hosts_ends_where_it_closes() {
    let (a, b) = (host(), host());
    let (a, b) = (Serving::start(&a), Serving::start(&b));
    let ended = a.ended(&submit(&a, &on(&b, &on(&a, &transform("1")))));
    let message = ended["tasks"][0]["fault"]["message"].as_str().unwrap();
    assert!(message.contains("422 job-loop: the job came through this host before"), "{message}");
    assert_eq!((count(&a), count(&b)), (1, 1));
    let ended = b.ended(&submit(&b, &on(&b, &transform("1"))));
    let message = ended["tasks"][0]["fault"]["message"].as_str().unwrap();
    assert!(message.contains("422 job-loop"), "{message}");
}

#[test]
fn no_executor_gets_round_the_ring() {
    let a = host();
    a.run(&["load", "rest_executor", "--grant", "http=http://127.0.0.1:*"]).succeeds();
    let a = Serving::start(&a);
    let inputs = json!({ "url": format!("{}/api/v1/jobs", a.url()), "method": "POST",
                         "headers": { "Authorization": format!("Bearer {TOKEN}"),
                                      "Apflow-Hops": "h_0123456789abcdef" },
                         "json": transform("1"), "fail_on_status": false });
    let ended = a.ended(&submit(&a, &json!({ "executor": "rest_executor", "inputs": inputs })));
    let answer = &ended["tasks"][0]["output"];
    assert_eq!((&answer["status"], &answer["json"]["code"]), (&json!(422), &json!("job-loop")));
    assert_eq!(count(&a), 1);
}

#[test]
fn a_chain_of_hosts_has_an_end() {
    let a = host();
    let a = Serving::start(&a);
    let submit = |count: u32| {
        let hops: Vec<String> = (0..count).map(|n| format!("h_{n:016x}")).collect();
        let headers = format!("{TOKEN}\r\nApflow-Hops: {}", hops.join(", "));
        let body = transform("1").to_string();
        a.ask("POST /api/v1/jobs", Some(&headers), body.as_bytes())
    };
    assert_eq!(submit(8).is(202).json()["hops"].as_array().unwrap().len(), 8);
    let problem = submit(9).problem(422, "job-loop");
    assert!(problem["detail"].as_str().unwrap().contains("9 hosts"), "{problem:#}");
}
