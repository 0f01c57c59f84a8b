//! The whole path of an attempt, against a scripted other host.

use std::time::Duration;

use apflow_sdk::http;
use apflow_sdk::testing::{Answer, Host, input_schema};
use apflow_sdk::{Fault, Usage};
use serde_json::{Value, json};

use super::*;

const JOBS: &str = "http://b/api/v1/jobs";

fn input() -> Value {
    json!({ "url": "http://b/", "job": { "executor": "x", "inputs": { "a": 1 } },
            "timeout_seconds": 60 })
}

fn events(after: u64) -> String {
    format!("{JOBS}/j_1/events?after={after}&limit=1000&wait=20")
}

fn job(state: &str, task: &Value) -> Answer {
    Answer::json(200, &json!({ "id": "j_1", "state": state, "tasks": [task] }))
}

fn task(state: &str) -> Value {
    json!({ "id": "t_1", "reference": "task-1", "state": state })
}

fn completed() -> Answer {
    let usage = json!({ "tokens_input": 5, "tokens_output": 2 });
    let task = json!({ "id": "t_1", "reference": "task-1", "state": "completed", "output": [7],
                       "usage": usage });
    job("completed", &task)
}

fn page(events: &Value, next: Option<u64>) -> Answer {
    Answer::json(200, &json!({ "events": events, "next": next }))
}

fn host() -> Host {
    Host::new().secret("apflow_api_token", "placeholder")
}

fn submitted() -> Host {
    host().expect("POST", JOBS, job("pending", &task("ready")))
}

fn run(host: &Host) -> Result<Value, Fault> {
    host.run(run_elsewhere, input()).map(|outcome| outcome.output)
}

#[test]
fn a_job_is_submitted_watched_and_returned() {
    let line = json!({ "task_id": "t_1", "kind": "log",
                       "data": { "level": "info", "message": "hello" } });
    let host = submitted()
        .budget(100)
        .expect("GET", &events(0), page(&json!([line]), Some(3)))
        .expect("GET", &events(3), page(&json!([]), None))
        .expect("GET", &format!("{JOBS}/j_1"), completed());
    let expected = json!({ "url": "http://b", "job_id": "j_1", "output": [7],
                           "outputs": { "task-1": [7] } });
    assert_eq!(run(&host), Ok(expected));
    let sent = &host.requests()[0];
    assert_eq!(sent.header("idempotency-key"), Some("t_test"));
    assert_eq!(sent.header("authorization"), Some("Bearer placeholder"));
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body, json!({ "executor": "x", "inputs": { "a": 1 }, "token_budget": 100 }));
    assert!(host.lines().iter().any(|line| line.message == "hello"), "{:?}", host.lines());
    assert_eq!(host.spent(), Usage::new(5, 2));
    assert_eq!(host.checkpoints()[0].step, "submitted");
}

#[test]
fn a_later_attempt_takes_up_the_job_and_submits_nothing() {
    let earlier = json!({ "job_id": "j_1", "tokens_input": 0, "tokens_output": 0 });
    let host = host()
        .checkpoint("submitted", &earlier)
        .expect("GET", &format!("{JOBS}/j_1"), job("running", &task("running")))
        .expect("GET", &events(0), page(&json!([]), None))
        .expect("GET", &format!("{JOBS}/j_1"), completed());
    assert!(run(&host).is_ok());
    assert!(host.requests().iter().all(|sent| sent.method == "GET"));
}

#[test]
fn a_redrive_redrives_the_job_and_charges_only_what_is_new() {
    let earlier = json!({ "job_id": "j_1", "tokens_input": 4, "tokens_output": 0 });
    let host = host()
        .checkpoint("ended", &earlier)
        .expect("POST", &format!("{JOBS}/j_1/retry"), job("running", &task("ready")))
        .expect("GET", &events(0), page(&json!([]), None))
        .expect("GET", &format!("{JOBS}/j_1"), completed());
    assert!(run(&host).is_ok());
    assert_eq!(host.spent(), Usage::new(1, 2));
    assert_eq!(host.checkpoints().last().unwrap().step, "submitted");
}

#[test]
fn a_job_that_failed_fails_the_task_with_its_fault() {
    let fault = json!({ "code": "trapped", "message": "boom" });
    let failed = json!({ "id": "t_1", "reference": "task-1", "state": "failed", "fault": fault });
    let host = submitted().expect("GET", &events(0), page(&json!([]), None)).expect(
        "GET",
        &format!("{JOBS}/j_1"),
        job("failed", &failed),
    );
    let fault = run(&host).unwrap_err();
    assert!(matches!(&fault, Fault::Permanent(text) if text.contains("trapped: boom")), "{fault}");
    assert_eq!(host.checkpoints().last().unwrap().step, "ended");
}

#[test]
fn a_cancellation_passes_through_while_there_is_no_news() {
    let host = submitted()
        .cancelled_after(Duration::from_secs(3))
        .expect("GET", &events(0), page(&json!([]), Some(0)).after(Duration::from_secs(20)))
        .expect("POST", &format!("{JOBS}/j_1/cancel"), job("cancelled", &task("cancelled")));
    assert_eq!(run(&host), Err(Fault::Cancelled));
    assert!(host.elapsed() < Duration::from_millis(3_200), "{:?}", host.elapsed());
    assert_eq!(host.not_sent(), [""; 0]);
}

#[test]
fn a_job_whose_time_is_up_is_cancelled() {
    let quiet = || page(&json!([]), Some(0)).after(Duration::from_secs(20));
    let host = (0..3)
        .fold(submitted(), |host, _| host.expect("GET", &events(0), quiet()))
        .expect("GET", &events(0), quiet())
        .expect("POST", &format!("{JOBS}/j_1/cancel"), job("cancelled", &task("cancelled")));
    let fault = run(&host).unwrap_err();
    let in_time = |text: &str| text.contains("did not end in time");
    assert!(matches!(&fault, Fault::Permanent(text) if in_time(text)), "{fault}");
    assert!(host.elapsed() < Duration::from_secs(62), "{:?}", host.elapsed());
}

#[test]
fn a_host_that_is_away_for_a_while_is_asked_again() {
    let away = || Answer::error(http::Error::Connect("refused".to_owned()));
    let host = submitted()
        .expect("GET", &events(0), away())
        .expect("GET", &events(0), Answer::status(503))
        .expect("GET", &events(0), page(&json!([]), None))
        .expect("GET", &format!("{JOBS}/j_1"), completed());
    assert!(run(&host).is_ok());
    let warnings = host.lines().iter().filter(|line| line.level == Level::Warn).count();
    assert_eq!(warnings, 1);
}

#[test]
fn what_cannot_be_submitted_leaves_nothing() {
    let away = Answer::error(http::Error::Connect("refused".to_owned()));
    let refused = Answer::json(422, &json!({ "code": "job-loop", "detail": "a ring" }));
    for (answer, is_again) in [(away, true), (Answer::status(503), true), (refused, false)] {
        let host = host().expect("POST", JOBS, answer);
        let fault = run(&host).unwrap_err();
        assert_eq!(matches!(fault, Fault::Retryable { .. }), is_again, "{fault}");
        assert!(host.checkpoints().is_empty());
    }
}

#[test]
fn without_the_secret_nothing_is_sent() {
    assert!(matches!(run(&Host::new()), Err(Fault::Permanent(_) | Fault::Retryable { .. })));
}

#[test]
fn the_schema_describes_every_field() {
    let schema = input_schema::<Input>();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 4);
    for (name, property) in properties {
        assert!(property["description"].is_string(), "{name}: {property}");
    }
}
