//! Tasks that are run by one request: one, several, or a forest that is waited for.

use serde_json::{Value, json};

use crate::crashes::gate;
use crate::guests::{BEHAVES, EXITS_WITH_FAILURE};
use crate::host::TestHost;
use crate::serving::{Answer, Serving};

#[test]
fn a_task_is_run_by_one_request() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let ran = run(&serving, &transform("[.[] * 2]", &json!([1, 2]))).is(200);
        assert_eq!(ran.headers.get("location"), None);
        let ran = ran.json();
        assert_eq!((&ran["state"], &ran["output"]), (&json!("completed"), &json!([2, 4])));
        assert!(ran["usage"]["wall_us"].as_u64().unwrap() > 0, "{ran:#}");
        for nothing in ["stdout", "stderr", "exit_code", "fault"] {
            assert_eq!(ran[nothing], Value::Null, "{nothing}");
        }
        let job = serving.ended(ran["job_id"].as_str().unwrap());
        assert_eq!(job["tasks"][0]["id"], ran["id"]);

        let failed = run(&serving, &transform("error(\"no\")", &json!(null))).is(200).json();
        assert_eq!((&failed["state"], &failed["output"]), (&json!("failed"), &Value::Null));
        assert_eq!(failed["fault"]["code"], "invalid-input");
    }
}

#[test]
fn a_command_answers_what_it_wrote_however_it_ended() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    EXITS_WITH_FAILURE.load(&host, "");
    let serving = Serving::start(&host);
    let command = |name: &str| json!({ "executor": name, "inputs": { "args": ["a b"] } });
    let written = |ran: &Value| {
        let text = |key: &str| ran[key].as_str().map(str::to_owned);
        (text("stdout"), text("stderr"), ran["exit_code"].as_i64())
    };
    let said = |stdout: &str, stderr: &str, code| {
        (Some(stdout.to_owned()), Some(stderr.to_owned()), Some(code))
    };
    let ran = run(&serving, &command("behaves")).is(200).json();
    assert_eq!(written(&ran), said("behaves a b read \"\"", "nothing to complain about", 0));
    let ran = run(&serving, &command("exits_with_failure")).is(200).json();
    assert_eq!(ran["state"], "failed");
    assert_eq!(written(&ran), said("", "the disk is made of cheese\n", 1));
    // A tool that reads its output as JSON says what was written all the same.
    let sorted = json!({ "tool": "sort", "inputs": { "text": "b\na\n" } });
    let ran = run(&serving, &sorted).is(200).json();
    assert_eq!(written(&ran).0.as_deref(), ran["output"]["text"].as_str(), "{ran:#}");
    let named = serving.ask(
        "POST /api/v1/tools/sort/run",
        Some(serving.token()),
        br#"{"inputs":{"text":"b\na\n"}}"#,
    );
    let named = named.is(200).json();
    assert_eq!(named["stdout"], ran["stdout"]);
    assert_eq!(written(&named), said("a\nb\n", "", 0));
}

#[test]
fn whoever_does_not_wait_is_told_where_the_end_will_be() {
    let host = TestHost::new();
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let task = |mode: &str| {
        json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") },
                "mode": mode })
    };
    let submitted = run_with(&serving, "/run", "k", &task("async")).is(202);
    let body = submitted.json();
    let id = body["job_id"].as_str().unwrap();
    assert_eq!(submitted.headers["location"], format!("/api/v1/jobs/{id}"));
    assert_eq!((&body["output"], &body["stdout"]), (&Value::Null, &Value::Null));
    server.wait_for_hits(1);
    // Who waits, and not long enough, is told the same.
    let waited = run_with(&serving, "/run?wait=0.1", "k", &task("sync")).is(202);
    assert_eq!(waited.headers["idempotent-replayed"], "true");
    assert_eq!(
        (&waited.json()["job_id"], &waited.json()["state"]),
        (&json!(id), &json!("running"))
    );
    gate.open();
    let ran = run_with(&serving, "/run", "k", &task("sync")).is(200).json();
    assert_eq!((&ran["job_id"], &ran["state"]), (&json!(id), &json!("completed")));
    assert_eq!(ran["output"]["json"], "through");
    assert_eq!(server.hits().len(), 1);
}

#[test]
fn a_task_that_runs_out_of_time_is_answered_as_ended() {
    let host = TestHost::new();
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let task = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") },
                       "timeout_seconds": 0.3 });
    let ran = run(&serving, &task).is(200).json();
    assert_eq!(
        (&ran["state"], &ran["fault"]["code"]),
        (&json!("failed"), &json!("limit-exceeded"))
    );
    gate.open();
}

#[test]
fn a_run_that_is_not_one_task_is_refused_and_nothing_is_stored() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let refused = |path: &str, body: &Value, status, code| {
        let problem = run_with(&serving, path, "k", body).problem(status, code);
        problem["pointer"].as_str().unwrap_or_default().to_owned()
    };
    let task = transform(".", &json!(1));
    let with = |key: &str, value: Value| {
        let mut task = task.clone();
        task[key] = value;
        task
    };
    refused("/run", &json!([]), 400, "invalid-request");
    refused("/run", &json!({ "tasks": [task] }), 400, "invalid-request");
    refused("/run", &with("mode", json!("later")), 400, "invalid-request");
    refused("/run?wait=3", &with("mode", json!("async")), 422, "invalid-job");
    refused("/run?wait=301", &task, 400, "invalid-request");
    refused("/run", &json!({}), 422, "invalid-job");
    assert_eq!(refused("/run", &with("moed", json!("sync")), 422, "invalid-job"), "/moed");
    let inputs = with("inputs", json!({ "filter": 3 }));
    assert_eq!(refused("/run", &inputs, 422, "invalid-input"), "/inputs/filter");
    let unknown = json!({ "tool": "nobody" });
    assert_eq!(refused("/run", &unknown, 422, "unknown-executor"), "/tool");
    refused("/parallel", &task, 400, "invalid-request");
    refused("/parallel", &json!({ "tasks": 3 }), 400, "invalid-request");
    assert_eq!(refused("/parallel", &json!({ "tasks": [] }), 422, "invalid-job"), "/tasks");
    for (key, value) in [("dependencies", json!(["a"])), ("parent_id", json!("a"))] {
        let tasks = json!({ "tasks": [with("id", json!("a")), with(key, value)] });
        let pointer = refused("/parallel", &tasks, 422, "invalid-job");
        assert_eq!(pointer, format!("/tasks/1/{key}"));
    }
    assert_eq!(host.jobs(), [Value::Null; 0]);
}

#[test]
fn tasks_run_in_parallel_and_one_that_fails_stops_no_other() {
    for host in TestHost::on_each_database() {
        BEHAVES.load(&host, "");
        let serving = Serving::start(&host);
        let mut tasks: Vec<_> = (0..40).map(|n| transform(". + 1", &json!(n))).collect();
        tasks[7] = transform("error(\"no\")", &json!(null));
        tasks[8] = json!({ "id": "says", "executor": "behaves" });
        let body = json!({ "name": "many", "tasks": tasks });
        let ran = run_with(&serving, "/parallel", "k", &body).is(200);
        let said = ran.json();
        assert_eq!(said["state"], "failed");
        let results = said["results"].as_array().unwrap();
        assert_eq!(results.len(), 40);
        for (n, one) in results.iter().enumerate() {
            let expected = match n {
                7 => (json!("failed"), Value::Null, Value::Null),
                8 => (json!("completed"), one["output"].clone(), one["output"]["stdout"].clone()),
                n => (json!("completed"), json!(n + 1), Value::Null),
            };
            let found = (one["state"].clone(), one["output"].clone(), one["stdout"].clone());
            assert_eq!(found, expected, "{one:#}");
        }
        assert_eq!(results[8]["reference"], "says");
        assert_eq!(results[8]["exit_code"], 0);
        let again = run_with(&serving, "/parallel", "k", &body).is(200);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.json(), said);
        run_with(&serving, "/parallel", "k", &json!({ "tasks": [transform(".", &json!(0))] }))
            .problem(409, "idempotency-conflict");
        assert_eq!(host.jobs().len(), 1);
        let good = json!({ "tasks": [transform(".", &json!(1)), transform(".", &json!(2))] });
        let ran = run_with(&serving, "/parallel", "good", &good).is(200).json();
        assert_eq!(ran["state"], "completed");
        let mut later = good.clone();
        later["mode"] = json!("async");
        let later = run_with(&serving, "/parallel", "later", &later).is(202);
        let id = later.json()["job_id"].as_str().unwrap().to_owned();
        assert_eq!(later.headers["location"], format!("/api/v1/jobs/{id}"));
        assert_eq!(serving.ended(&id)["state"], "completed");
    }
}

#[test]
fn a_forest_is_waited_for_and_submitted_once() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let forest = json!({ "name": "forest", "tasks": [
            { "id": "a", "executor": "transform_executor", "inputs": { "filter": "1" } },
            { "id": "b", "executor": "transform_executor", "dependencies": ["a"],
              "inputs": { "filter": ". + 1", "input": { "$from": "a" } } },
            { "id": "other", "executor": "transform_executor", "inputs": { "filter": "7" } },
        ] });
        let answers: Vec<_> = std::thread::scope(|scope| {
            let submit = || scope.spawn(|| serving.submit_once("k", "?wait=60", &forest).is(200));
            let submitting: Vec<_> = (0..16).map(|_| submit()).collect();
            submitting.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        let new = |answer: &&Answer| !answer.headers.contains_key("idempotent-replayed");
        assert_eq!(answers.iter().filter(new).count(), 1);
        for answer in &answers {
            let job = answer.json();
            let outputs: Vec<_> =
                job["tasks"].as_array().unwrap().iter().map(|task| &task["output"]).collect();
            assert_eq!(outputs, [1, 2, 7], "{job:#}");
            assert_eq!(job["id"], answers[0].json()["id"]);
        }
        assert_eq!(host.jobs().len(), 1);
    }
}

/// Runs one task, as the operator.
fn run(serving: &Serving<'_>, task: &Value) -> Answer {
    let body = task.to_string();
    serving.ask("POST /api/v1/run", Some(serving.token()), body.as_bytes())
}

/// Runs something with a key, as the operator.
fn run_with(serving: &Serving<'_>, path: &str, key: &str, body: &Value) -> Answer {
    let headers = format!("{}\r\nIdempotency-Key: {key}", serving.token());
    let body = body.to_string();
    serving.ask(&format!("POST /api/v1{path}"), Some(&headers), body.as_bytes())
}

fn transform(filter: &str, input: &Value) -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": filter, "input": input } })
}
