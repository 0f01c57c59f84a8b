//! A job that is submitted again with its key runs once.

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

fn job(filter: &str) -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": filter } })
}

#[test]
fn a_job_that_is_submitted_again_is_answered_and_not_run_again() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let first = serving.submit_once("k", "?wait=30", &job("1")).is(200);
        assert_eq!(first.headers.get("idempotent-replayed"), None);
        // The same, although its keys come in another order.
        let same = r#"{"inputs":{"filter":"1"},"executor":"transform_executor"}"#;
        let same: Value = serde_json::from_str(same).unwrap();
        let again = serving.submit_once("k", "", &same).is(200);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.json(), first.json());
        serving.submit_once("k", "", &job("2")).problem(409, "idempotency-conflict");
        serving.submit_once("other", "?wait=30", &job("2")).is(200);
        assert_eq!(host_jobs(&serving), 2);
        serving.kill();

        let serving = Serving::start(&host);
        let after = serving.submit_once("k", "", &job("1")).is(200);
        assert_eq!(after.headers["idempotent-replayed"], "true");
        assert_eq!(after.json(), first.json());
        assert_eq!(host_jobs(&serving), 2);
    }
}

#[test]
fn of_many_at_once_one_runs() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let submit = || scope.spawn(|| serving.submit_once("k", "?wait=30", &job("1")).is(200));
            let submitting: Vec<_> = (0..64).map(|_| submit()).collect();
            submitting.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        let replayed = |answer: &&Answer| answer.headers.contains_key("idempotent-replayed");
        assert_eq!(answers.iter().filter(replayed).count(), 63);
        let id = &answers[0].json()["id"];
        assert!(answers.iter().all(|answer| answer.json()["id"] == *id));
        assert_eq!(host_jobs(&serving), 1);
    }
}

#[test]
fn a_job_that_was_refused_leaves_its_key_free() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    serving.submit_once("k", "", &json!({ "executor": "nobody" })).problem(422, "unknown-executor");
    serving.submit_once("k", "?wait=30", &job("1")).is(200);
}

#[test]
fn a_key_that_is_none_is_refused() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let long = "k".repeat(256);
    for key in ["", "two words", &long, "\u{e9}", "k\r\nIdempotency-Key: k"] {
        serving.submit_once(key, "", &job("1")).problem(400, "invalid-request");
    }
    assert_eq!(host_jobs(&serving), 0);
}

#[test]
fn a_run_with_a_key_is_not_run_again() {
    let host = TestHost::new();
    let run = |filter: &str| {
        let input = json!({ "filter": filter }).to_string();
        host.run(&[
            "run",
            "transform_executor",
            "--input",
            &input,
            "--idempotency-key",
            "k",
            "--json",
        ])
    };
    let first = run("1").succeeds().json();
    assert_eq!(run("1").succeeds().json(), first);
    assert_eq!(run("2").exits(1).error()["code"], "idempotency-conflict");
    assert_eq!(host.jobs().len(), 1);
}

fn host_jobs(serving: &Serving<'_>) -> usize {
    serving.get("/api/v1/jobs").is(200).json()["jobs"].as_array().unwrap().len()
}
