//! The HTTP API.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

#[test]
fn health_is_open_and_everything_else_needs_the_token() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let health = serving.ask("GET /health", None, b"").is(200).json();
    assert_eq!(health["status"], "ok");
    let wrong = format!("{}0", serving.token());
    for what in [
        "GET /api/v1/jobs",
        "POST /api/v1/jobs",
        "GET /api/v1/jobs/j_0000000000000",
        "GET /api/v1/plugins",
        "GET /api/v1/plugins/rest_executor",
        "DELETE /api/v1/plugins/rest_executor",
    ] {
        for token in [None, Some(""), Some(wrong.as_str()), Some("apf_")] {
            let answer = serving.ask(what, token, b"{}");
            assert!(answer.headers["www-authenticate"].starts_with("Bearer realm="), "{what}");
            answer.problem(401, "unauthorized");
        }
    }
    host.holds_nothing();
}

#[test]
fn the_token_is_private_and_made_once() {
    let host = TestHost::new();
    let first = Serving::start(&host);
    let token = first.token().to_owned();
    first.get("/api/v1/jobs").is(200);
    let mode = fs::metadata(host.config_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(token.len() >= 64, "{token}");
    assert_eq!(first.stop(), Some(0));
    let second = Serving::start(&host);
    assert_eq!(second.token(), token);
    second.get("/api/v1/jobs").is(200);
}

#[test]
fn a_job_is_accepted_and_found_until_it_has_ended() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let accepted = serving.submit("", &transform(&json!(41), ". + 1")).is(202).json();
    let id = accepted["id"].as_str().unwrap();
    assert!(["pending", "running", "completed"].map(Value::from).contains(&accepted["state"]));
    let job = serving.ended(id);
    assert_eq!(job["state"], "completed");
    assert_eq!(job["principal"], "admin");
    assert_eq!(job["tasks"][0]["output"], 42);
    assert_eq!(host.run(&["jobs", "show", id, "--json"]).succeeds().json(), job);
}

#[test]
fn a_caller_who_waits_gets_the_end() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let job = serving.submit("?wait=30", &transform(&json!("a"), "ascii_upcase")).is(200).json();
    assert_eq!((&job["state"], &job["tasks"][0]["output"]), (&json!("completed"), &json!("A")));
    let failed = serving.submit("?wait=30", &transform(&json!(1), "error(\"no\")")).is(200).json();
    assert_eq!(failed["state"], "failed");
}

#[test]
fn a_caller_who_waits_too_short_is_told_that_it_goes_on() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = Server::start(move |_| {
        held.lock().unwrap().recv().unwrap();
        Reply::json(&json!("done"))
    });
    let host = TestHost::new();
    let grant = format!("http={}", server.origin());
    host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    let serving = Serving::start(&host);
    let job = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/") } });
    let accepted = serving.submit("?wait=1", &job).is(202).json();
    assert_eq!(accepted["state"], "running");
    release.send(()).unwrap();
    let ended = serving.ended(accepted["id"].as_str().unwrap());
    assert_eq!((&ended["state"], server.hits().len()), (&json!("completed"), 1));
}

#[test]
fn jobs_are_listed_page_by_page_and_by_filter() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    for n in 0..5 {
        let filter = if n == 3 { "error(\"no\")" } else { "." };
        serving.submit("?wait=30", &transform(&json!(n), filter)).is(200);
    }
    let mut ids = Vec::new();
    let mut path = "/api/v1/jobs?limit=2".to_owned();
    loop {
        let page = serving.get(&path).is(200).json();
        let jobs = page["jobs"].as_array().unwrap().clone();
        assert!(jobs.len() <= 2 && jobs.iter().all(|job| job.get("tasks").is_none()));
        ids.extend(jobs.into_iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("/api/v1/jobs?limit=2&cursor={cursor}");
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    let failed = serving.get("/api/v1/jobs?state=failed").is(200).json();
    assert_eq!(failed["jobs"].as_array().unwrap().len(), 1);
    let none = serving.get("/api/v1/jobs?executor=rest_executor").is(200).json();
    assert_eq!(none, json!({ "jobs": [], "cursor": null }));
    for query in ["limit=0", "limit=1001", "limit=x", "colour=red", "state=stopped", "since=today"]
    {
        serving.get(&format!("/api/v1/jobs?{query}")).problem(400, "invalid-request");
    }
}

#[test]
fn what_cannot_be_accepted_is_a_problem_with_its_place_and_leaves_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    serving.post("", b"{ no JSON").problem(400, "invalid-request");
    serving.post("", b"").problem(400, "invalid-request");
    let good = transform(&json!(1), ".").to_string();
    serving.post("?wait=301", good.as_bytes()).problem(400, "invalid-request");
    serving.post("?colour=red", good.as_bytes()).problem(400, "invalid-request");
    let mut unknown = transform(&json!(1), ".");
    unknown["colour"] = json!("red");
    let mut unsuited = transform(&json!(1), ".");
    unsuited["inputs"]["filter"] = json!(7);
    for (job, code, pointer) in [
        (unknown.clone(), "invalid-job", "/colour"),
        (json!({ "tasks": [unknown] }), "invalid-job", "/tasks/0/colour"),
        (json!({ "executor": "rest_executer" }), "unknown-executor", "/executor"),
        (unsuited, "invalid-input", "/inputs/filter"),
        (json!({ "tasks": [] }), "invalid-job", "/tasks"),
    ] {
        let problem = serving.submit("", &job).problem(422, code);
        assert_eq!(problem["pointer"], pointer, "{problem:#}");
        let title = code.replace('-', " ");
        assert_eq!(problem["title"], title);
    }
    for job in [json!([]), json!("a"), json!(null), json!(7)] {
        serving.submit("", &job).problem(422, "invalid-job");
    }
    host.holds_nothing();
}

#[test]
fn a_body_over_16_mib_is_refused() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let body = vec![b' '; (16 << 20) + 1];
    serving.post("", &body).problem(413, "payload-too-large");
    host.holds_nothing();
}

#[test]
fn what_there_is_not_is_a_problem_too() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    serving.get("/api/v1/jobs/j_0000000000000").problem(404, "unknown-job");
    serving.get("/api/v1/jobs/nonsense").problem(400, "invalid-request");
    serving.get("/api/v1/plugins/nobody").problem(404, "unknown-plugin");
    serving.get("/nowhere").problem(404, "unknown-route");
    let token = Some(serving.token());
    serving.ask("PUT /api/v1/jobs", token, b"").problem(405, "method-not-allowed");
    let builtin = serving.ask("DELETE /api/v1/plugins/rest_executor", token, b"");
    builtin.problem(409, "builtin-plugin");
}

#[test]
fn plugins_are_listed_and_shown() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let listed = serving.get("/api/v1/plugins").is(200).json();
    let names: Vec<&str> = listed["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|plugin| plugin["tool"].is_null())
        .map(|plugin| plugin["manifest"]["name"].as_str().unwrap())
        .collect();
    let expected = [
        "aggregate_results_executor",
        "apflow_api_executor",
        "llm_executor",
        "rest_executor",
        "send_email_executor",
        "transform_executor",
    ];
    assert_eq!(names, expected);
    let shown = serving.get("/api/v1/plugins/rest_executor").is(200).json();
    assert_eq!(shown["descriptor"]["input_schema"]["required"], json!(["url"]));
    assert_eq!(shown["grants"], json!([]));
}

/// A job of one task.
fn transform(input: &Value, filter: &str) -> Value {
    json!({ "executor": "transform_executor", "inputs": { "input": input, "filter": filter } })
}
