//! Failed tasks that run again.

use serde_json::{Value, json};

use crate::guests::GOES_ON_FROM_ITS_CHECKPOINT;
use crate::host::TestHost;
use crate::serving::Serving;

#[test]
fn a_failed_task_goes_on_from_its_checkpoint() {
    for host in TestHost::on_each_database() {
        GOES_ON_FROM_ITS_CHECKPOINT.load(&host, "");
        let serving = Serving::start(&host);
        let id = submit(&serving);
        let failed = serving.ended(&id);
        assert_eq!(
            (&failed["state"], states(&failed)),
            (&json!("failed"), vec!["failed", "skipped"])
        );
        let fault = &failed["tasks"][1]["fault"];
        assert_eq!(fault["code"], "dependency-lost");
        assert_eq!(fault["message"], "it requires `half`, which failed");
        let task = failed["tasks"][0]["id"].as_str().unwrap();
        let saved = host.run(&["tasks", "checkpoints", task, "--json"]).succeeds().json();
        assert_eq!(saved["checkpoints"][0]["step"], "half");
        assert_eq!(saved["checkpoints"][0]["bytes"], 4);
        assert!(saved["checkpoints"][0].get("value").is_none());

        let what = format!("POST /api/v1/jobs/{id}/retry");
        let again = serving.ask(&what, Some(serving.token()), b"").is(200).json();
        assert_eq!(again["ended_at"], Value::Null);
        let ended = serving.ended(&id);
        assert_eq!((&ended["state"], states(&ended)), (&json!("completed"), vec!["completed"; 2]));
        let output = &ended["tasks"][0]["output"];
        assert_eq!(output, "attempt 2 went on from half of attempt 1");
        let saved = host.run(&["tasks", "checkpoints", task, "--json"]).succeeds().json();
        assert_eq!(saved["checkpoints"], json!([]), "a good end drops them");
        assert_eq!(serving.ask(&what, Some(serving.token()), b"").is(200).json(), ended);
    }
}

#[test]
fn dead_letters_are_listed_and_run_again() {
    let host = TestHost::new();
    GOES_ON_FROM_ITS_CHECKPOINT.load(&host, "");
    let serving = Serving::start(&host);
    let id = submit(&serving);
    serving.ended(&id);
    let dead = |more: &str| {
        let listed = serving.get(&format!("/api/v1/tasks?state=failed{more}")).is(200).json();
        listed["tasks"].as_array().unwrap().clone()
    };
    let listed = dead("");
    assert_eq!((listed.len(), &listed[0]["fault"]["code"]), (1, &json!("permanent")));
    assert_eq!(dead("&executor=transform_executor"), [Value::Null; 0]);
    assert_eq!(dead(&format!("&job={id}&principal=admin")), listed);
    let task = listed[0]["id"].as_str().unwrap();
    let told = host.run(&["tasks", "list", "--state", "failed"]).succeeds();
    assert!(told.stdout.contains(task), "{}", told.stdout);
    let told = host.run(&["tasks", "show", task]).succeeds();
    assert!(told.stdout.contains("only half was done"), "{}", told.stdout);

    host.run(&["jobs", "retry", &id, "nothing"]).exits(1).says(&["error[unknown-task]", "nothing"]);
    host.run(&["tasks", "retry", "t_0000000000000"]).exits(1).says(&["error[unknown-task]"]);
    host.run(&["jobs", "retry", "j_0000000000000"]).exits(1).says(&["error[unknown-job]"]);
    let retry = |body: &[u8]| {
        serving.ask(&format!("POST /api/v1/jobs/{id}/retry"), Some(serving.token()), body)
    };
    retry(b"{\"task\": []}").problem(400, "invalid-request");
    retry(b"{\"tasks\": [\"half\"]}").is(200);
    assert_eq!(serving.ended(&id)["state"], "completed");
    assert_eq!(dead(""), [Value::Null; 0]);
    serving.get("/api/v1/tasks?state=dead").problem(400, "invalid-request");
    serving.get("/api/v1/tasks/t_0000000000000").problem(404, "unknown-task");
}

#[test]
fn a_cancelled_job_runs_again_when_it_is_asked_for() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let later = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                        "run_at": "2999-01-01T00:00:00Z" });
    let job = serving.submit("", &later).is(202).json();
    let id = job["id"].as_str().unwrap();
    let state = |arguments: &[&str]| {
        host.run(&[arguments, &["--json"]].concat()).succeeds().json()["state"].clone()
    };
    assert_eq!(state(&["jobs", "cancel", id]), "cancelled");
    assert_eq!(state(&["jobs", "retry", id]), "cancelled");
    assert_eq!(state(&["jobs", "retry", id, "--cancelled"]), "pending");
    let listed = serving.get("/api/v1/tasks?state=pending").is(200).json();
    assert_eq!(listed["tasks"][0]["state"], "scheduled");
}

/// Submits a task that fails half way, and one that requires it.
fn submit(serving: &Serving<'_>) -> String {
    let job = json!({ "tasks": [
        { "id": "half", "executor": "goes_on_from_its_checkpoint" },
        { "id": "after", "executor": "transform_executor", "dependencies": ["half"],
          "inputs": { "filter": "1" } },
    ] });
    serving.submit("", &job).is(202).json()["id"].as_str().unwrap().to_owned()
}

fn states(job: &Value) -> Vec<&str> {
    let tasks = job["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["state"].as_str().unwrap()).collect()
}
