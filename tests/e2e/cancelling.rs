//! Jobs that are ended before their time.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guests::{CLEANS_UP, GOES_ON_AFTER_CANCEL, NEVER_ENDS, PANICS, SLEEPS_FOREVER};
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// Much less than the time limit of the guests, and than the time that a host grants at its end.
const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_cancelled_job_stops_its_guests_and_what_waits_for_them() {
    for host in TestHost::on_each_database() {
        load(&host);
        let serving = Serving::start(&host);
        let id = submit(&serving);
        serving.found(&id, |job| task_states(job)[..2] == ["running", "running"]);
        let start = Instant::now();
        let what = format!("POST /api/v1/jobs/{id}/cancel");
        let cancelled = serving.ask(&what, Some(serving.token()), b"").is(200).json();
        assert_eq!(cancelled["state"], "cancelled");
        assert_eq!(task_states(&cancelled), ["cancelled"; 3]);
        let stopped = &cancelled["tasks"][0]["attempts"][0];
        assert!(stopped["usage"]["cpu_us"].as_u64() > Some(0), "it has a receipt: {stopped:#}");
        assert_eq!(serving.ask(&what, Some(serving.token()), b"").is(200).json(), cancelled);
        let other = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
        let ended = serving.submit("?wait=30", &other).is(200).json();
        let what = format!("POST /api/v1/jobs/{}/cancel", ended["id"].as_str().unwrap());
        assert_eq!(serving.ask(&what, Some(serving.token()), b"").is(200).json(), ended);
        assert_eq!(serving.stop(), Some(0));
        assert!(start.elapsed() < SOON, "a guest went on: {:?}", start.elapsed());
    }
}

#[test]
fn a_job_can_be_cancelled_beside_the_host_that_runs_it() {
    for host in TestHost::on_each_database() {
        load(&host);
        let serving = Serving::start(&host);
        let id = submit(&serving);
        serving.found(&id, |job| task_states(job)[..2] == ["running", "running"]);
        host.run(&["jobs", "cancel", &id]).succeeds();
        assert_eq!(serving.ended(&id)["state"], "cancelled");
        let start = Instant::now();
        assert_eq!(serving.stop(), Some(0));
        assert!(start.elapsed() < SOON, "a guest went on: {:?}", start.elapsed());
        host.run(&["jobs", "cancel", "j_0000000000000"]).exits(1).says(&["error[unknown-job]: "]);
    }
}

#[test]
fn a_guest_may_clean_up_within_its_grace() {
    for host in TestHost::on_each_database() {
        CLEANS_UP.load(&host, "limits: { timeout: 1h, cancel_grace: 1m }");
        let serving = Serving::start(&host);
        let task = |id: &str| json!({ "id": id, "executor": "cleans_up", "inputs": { "end": id } });
        let tasks = [task("completes"), task("stops")];
        let job = serving.submit("", &json!({ "tasks": tasks })).is(202).json();
        let id = job["id"].as_str().unwrap();
        // Both work: what did not begin has nothing to clean up.
        serving.until(|| said(&serving, id, "\"working\"") == 2);
        let what = format!("POST /api/v1/jobs/{id}/cancel");
        serving.ask(&what, Some(serving.token()), b"").is(200);
        let ended = serving.ended(id);
        assert_eq!(task_states(&ended), ["completed", "cancelled"]);
        assert_eq!(ended["tasks"][0]["output"], "cleaned up");
        let stopped = ended["tasks"][1]["id"].as_str().unwrap();
        let what = format!("/api/v1/tasks/{stopped}/checkpoints?values=true");
        let saved = serving.get(&what).is(200).json();
        assert_eq!(saved["checkpoints"][0]["step"], "cleaned");
        assert_eq!(saved["checkpoints"][0]["value"], "dXA=");
    }
}

#[test]
fn a_guest_that_ignores_its_grace_is_ended_after_it() {
    let host = TestHost::new();
    GOES_ON_AFTER_CANCEL.load(&host, "limits: { timeout: 1h, cancel_grace: 500ms }");
    let serving = Serving::start(&host);
    let job = serving.submit("", &json!({ "executor": "goes_on_after_cancel" })).is(202).json();
    let id = job["id"].as_str().unwrap();
    // What did not begin is not given any grace.
    serving.until(|| said(&serving, id, "\"still here\"") > 0);
    let start = Instant::now();
    let what = format!("POST /api/v1/jobs/{id}/cancel");
    serving.ask(&what, Some(serving.token()), b"").is(200);
    assert_eq!(serving.ended(id)["state"], "cancelled");
    let took = start.elapsed();
    assert!((Duration::from_millis(500)..SOON).contains(&took), "{took:?}");
}

#[test]
fn a_task_that_waits_for_its_next_attempt_is_cancelled_at_once() {
    let host = TestHost::new();
    PANICS.load(&host, "");
    let serving = Serving::start(&host);
    let backoff = json!({ "strategy": "fixed", "base_seconds": 3600, "max_seconds": 3600 });
    let task = json!({ "executor": "panics", "backoff": backoff });
    let job = serving.submit("", &task).is(202).json();
    let id = job["id"].as_str().unwrap();
    let job = serving.found(id, |job| task_states(job) == ["scheduled"]);
    let task = job["tasks"][0]["id"].as_str().unwrap();
    let task = host.run(&["tasks", "cancel", task, "--json"]).succeeds().json();
    assert_eq!(
        (&task["state"], &task["fault"]["code"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    assert_eq!(serving.ended(id)["state"], "cancelled");
    host.run(&["tasks", "cancel", "t_0000000000000"]).exits(1).says(&["error[unknown-task]: "]);
}

#[test]
fn a_cancelled_task_takes_what_is_below_it_along() {
    let host = TestHost::new();
    load(&host);
    let serving = Serving::start(&host);
    let noop = |id: &str, parent: Option<&str>, dependencies: &[&str]| {
        json!({ "id": id, "executor": "transform_executor", "inputs": { "filter": "1" },
                "parent_id": parent, "dependencies": dependencies })
    };
    let job = json!({ "tasks": [
        { "id": "top", "executor": "never_ends" },
        noop("below", Some("top"), &["top"]), noop("needs", None, &["below"]),
        noop("may", None, &[]),
    ] });
    let job = serving.submit("", &job).is(202).json();
    let id = job["id"].as_str().unwrap();
    let job = serving.found(id, |job| {
        let states = task_states(job);
        states[0] == "running" && states[3] == "completed"
    });
    let top = job["tasks"][0]["id"].as_str().unwrap();
    let what = format!("POST /api/v1/tasks/{top}/cancel");
    serving.ask(&what, Some(serving.token()), b"").is(200);
    let ended = serving.ended(id);
    assert_eq!(task_states(&ended), ["cancelled", "cancelled", "skipped", "completed"]);
    let fault = &ended["tasks"][2]["fault"];
    assert_eq!(fault["message"], "it requires `below`, which was cancelled");
}

#[test]
fn everything_can_be_stopped_while_every_place_is_taken() {
    const PLACES: usize = 64;
    let host = TestHost::new();
    load(&host);
    let serving = Serving::start(&host);
    let task = |number: usize| json!({ "id": number.to_string(), "executor": "never_ends" });
    let many: Vec<Value> = (0..PLACES).map(task).collect();
    let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
    let spinning = id(serving.submit("", &json!({ "tasks": many })).is(202).json());
    serving.found(&spinning, |job| task_states(job) == ["running"; PLACES]);
    let waiting = id(serving.submit("", &json!({ "executor": "never_ends" })).is(202).json());
    let start = Instant::now();
    let stop = || serving.ask("POST /api/v1/jobs/cancel", Some(serving.token()), b"").is(200);
    assert_eq!(stop().json(), json!({ "cancelled": 2 }));
    for id in [&spinning, &waiting] {
        assert_eq!(serving.get(&format!("/api/v1/jobs/{id}")).is(200).json()["state"], "cancelled");
    }
    assert_eq!(stop().json(), json!({ "cancelled": 0 }));
    let other = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    assert_eq!(serving.submit("?wait=30", &other).is(200).json()["state"], "completed");
    assert!(start.elapsed() < SOON, "a guest went on: {:?}", start.elapsed());
    let told = host.run(&["jobs", "cancel", "--all"]).succeeds();
    assert_eq!(told.stdout, "cancelled 0 jobs\n");
    host.run(&["jobs", "cancel"]).exits(2);
    host.run(&["jobs", "cancel", "--all", &waiting]).exits(2);
}

#[test]
fn an_interrupted_run_cancels_its_job() {
    let (_release, held) = channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = Server::start(move |_| {
        // Until the test has ended.
        _ = held.lock().unwrap().recv();
        Reply::status(204)
    });
    let host = TestHost::new();
    let input = json!({ "url": server.url("/") }).to_string();
    let grant = format!("http={}", server.origin());
    let mut run = host.command();
    run.args(["run", "rest_executor", "--input", &input, "--grant", &grant]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    server.wait_for_hits(1);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(host.jobs()[0]["state"], "cancelled");
}

/// Loads two guests that do not end by themselves.
fn load(host: &TestHost) {
    NEVER_ENDS.load(host, "limits: { timeout: 1h }");
    SLEEPS_FOREVER.load(host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
}

/// Submits two tasks that do not end, and one that waits for them.
fn submit(serving: &Serving<'_>) -> String {
    let job = json!({ "tasks": [
        { "id": "works", "executor": "never_ends" },
        { "id": "waits", "executor": "sleeps_forever" },
        { "id": "after", "executor": "transform_executor", "dependencies": ["works", "waits"],
          "inputs": { "filter": "1" } },
    ] });
    serving.submit("", &job).is(202).json()["id"].as_str().unwrap().to_owned()
}

/// How often the guests of a job have said this by now.
fn said(serving: &Serving<'_>, id: &str, what: &str) -> usize {
    let page = serving.get(&format!("/api/v1/jobs/{id}/events")).is(200).json();
    page.to_string().matches(what).count()
}

fn task_states(job: &Value) -> Vec<&str> {
    let tasks = job["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["state"].as_str().unwrap()).collect()
}
