//! Roles: whose jobs a caller sees, which tools it may run, who approves, and `policies.yaml`.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callers::Caller;
use crate::host::TestHost;
use crate::serving::Serving;

const NOTHING: Value = Value::Null;

/// A task that completes.
fn small(executor: &str) -> Value {
    json!({ "executor": executor, "inputs": { "filter": "1" }, "max_attempts": 1 })
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[test]
fn a_caller_sees_its_own_jobs_and_an_admin_sees_all() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (ada, bob) = (Caller::new(&serving, "ada", "user"), Caller::new(&serving, "bob", "agent"));
    let job = ada.post("/jobs?wait=60", &small("transform_executor")).is(200).json();
    let id = job["id"].as_str().unwrap();
    assert_eq!(job["principal"], "ada");

    assert_eq!(ids(&ada.get("/jobs").is(200).json()["jobs"]), [id]);
    assert_eq!(ids(&serving.get("/api/v1/jobs").is(200).json()["jobs"]), [id]);
    for list in ["/jobs", "/jobs?principal=ada", "/jobs?state=completed"] {
        assert_eq!(bob.get(list).is(200).json(), json!({ "jobs": [], "cursor": null }), "{list}");
    }
    for list in ["/tasks".to_owned(), "/tasks?principal=ada".to_owned(), format!("/tasks?job={id}")]
    {
        assert_eq!(bob.get(&list).is(200).json(), json!({ "tasks": [], "cursor": null }), "{list}");
    }
    assert_eq!(ada.get("/tasks").is(200).json()["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(bob.post("/jobs/cancel", &NOTHING).is(200).json(), json!({ "cancelled": 0 }));
    bob.get(&format!("/jobs/{id}")).problem(404, "unknown-job");
    serving.get(&format!("/api/v1/jobs/{id}")).is(200);
}

#[test]
fn an_uploaded_file_is_of_no_use_to_others() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (ada, bob) = (Caller::new(&serving, "ada", "user"), Caller::new(&serving, "bob", "user"));
    let file = ada.post("/files?name=a.txt", &json!("secret")).is(201).json();
    let file = &file["file_id"];
    let job = json!({ "executor": "rest_executor", "inputs": {
        "url": "https://example.com", "method": "POST", "file": { "$file": file } } });
    let refused = bob.post("/jobs", &job);
    let problem = refused.problem(422, "invalid-input");
    assert!(problem["detail"].as_str().unwrap().contains("there is no file"), "{problem:#}");
    assert_eq!(bob.get("/jobs").is(200).json()["jobs"], json!([]));
}

#[test]
fn a_blocked_tool_is_refused_on_every_way_in_with_its_place() {
    let text = "roles:\n  user:\n    permissions: [jobs-submit, jobs-read]\n    \
                blocked_tools: [transform_*]\n";
    let host = TestHost::new().with_policies(text);
    let serving = Serving::start(&host);
    let (ada, bob) = (Caller::new(&serving, "ada", "user"), Caller::new(&serving, "ada", "agent"));
    let blocked = small("transform_executor");
    let schedule = json!({ "cron": "@yearly", "job": blocked });
    for (what, body, pointer) in [
        ("POST /jobs", blocked.clone(), "/executor"),
        ("POST /jobs", json!({ "tasks": [small("rest_executor"), blocked] }), "/tasks/1/executor"),
        ("POST /tools/transform_it/run", json!({}), ""),
        ("PUT /schedules/mine", schedule, "/job/executor"),
    ] {
        let answer = ada.ask(what, &body);
        if pointer.is_empty() {
            // It is not installed, which is told first, since its name stands in the path.
            answer.problem(404, "unknown-tool");
            continue;
        }
        assert_eq!(answer.problem(403, "tool-blocked")["pointer"], pointer, "{what}");
    }
    assert_eq!(serving.get("/api/v1/jobs").is(200).json()["jobs"], json!([]));

    let failing = json!({ "executor": "transform_executor", "inputs": { "filter": "error" },
                          "max_attempts": 1 });
    let job = bob.post("/jobs?wait=60", &failing).is(200).json();
    assert_eq!(job["state"], "failed");
    let (job, task) = (job["id"].as_str().unwrap(), job["tasks"][0]["id"].as_str().unwrap());
    ada.post(&format!("/jobs/{job}/retry"), &NOTHING).problem(403, "tool-blocked");
    ada.post(&format!("/tasks/{task}/retry"), &NOTHING).problem(403, "tool-blocked");
    bob.post(&format!("/tasks/{task}/retry"), &NOTHING).is(200);
}

#[test]
fn a_tick_is_decided_by_the_role_as_it_is_then() {
    let host = TestHost::new().with_policies("rate_limits: { enabled: false }\n");
    let serving = Serving::start(&host);
    let ada = Caller::new(&serving, "ada", "user");
    let schedule = json!({ "cron": "* * * * * *", "job": small("transform_executor") });
    assert_eq!(ada.ask("PUT /schedules/mine", &schedule).is(200).json()["role"], "user");
    let shown = || ada.get("/schedules/mine").is(200).json();
    serving.until(|| shown()["counts"]["fired"].as_u64().unwrap() > 0);
    host.write_policies(
        "roles: { user: { permissions: [jobs-submit, jobs-read], blocked_tools: [\"*\"] } }\n\
         rate_limits: { enabled: false }\n",
    );
    serving.until(|| shown()["counts"]["failed"].as_u64().unwrap() > 0);
    let fault = shown()["last_fault"]["message"].as_str().unwrap().to_owned();
    assert!(fault.contains("`transform_executor` is blocked for the role `user`"), "{fault}");
}

/// Loads a tool that may reach nothing, so that it fails, with these lines more.
fn load_failing(host: &TestHost, name: &str, more: &str) {
    let root = TempDir::new().unwrap();
    let folder = root.path().join(name);
    fs::create_dir(&folder).unwrap();
    let text = format!(
        "name: {name}\nversion: 1.0.0\ndescription: Fails.\ncategory: utility\n\
         run: {{ request: {{ url: \"https://service.example/\" }} }}\n{more}\n"
    );
    fs::write(folder.join("tool.yaml"), text).unwrap();
    host.run(&["load", folder.to_str().unwrap(), "--grant", "none"]).succeeds();
}

#[test]
fn a_fallback_is_tried_as_the_role_of_the_job_says() {
    let text = "roles:\n  user: { permissions: [jobs-submit, jobs-read], blocked_tools: [second] }\n  \
                agent: { permissions: [jobs-submit, jobs-read], requires_approval: [sec*] }\n";
    let host = TestHost::new().with_policies(text);
    load_failing(&host, "second", "");
    load_failing(&host, "first", "fallback_tool: second");
    let serving = Serving::start(&host);
    let (ada, bob) = (Caller::new(&serving, "ada", "user"), Caller::new(&serving, "bob", "agent"));
    let task = json!({ "tool": "first", "inputs": {}, "max_attempts": 1 });
    let job = ada.post("/jobs?wait=60", &task).is(200).json();
    let fault = job["tasks"][0]["fault"]["message"].as_str().unwrap();
    assert!(fault.contains("`second` is blocked for the role `user`"), "{fault}");

    let job = bob.post("/jobs", &task).is(202).json();
    let id = job["id"].as_str().unwrap();
    let job = serving.found(id, |job| job["tasks"][0]["state"] == "parked");
    assert_eq!(job["tasks"][0]["executor"], "second");
}

#[test]
fn a_role_that_needs_approval_is_approved_by_somebody_else() {
    let text = "\
roles:
  agent:
    permissions: [jobs-submit, jobs-read, tasks-approve]
    requires_approval: [transform_executor]
  approver: { permissions: [jobs-read, tasks-approve] }
";
    let host = TestHost::new().with_policies(text);
    let serving = Serving::start(&host);
    let ada = Caller::new(&serving, "ada", "agent");
    let (eve, ann) =
        (Caller::new(&serving, "eve", "approver"), Caller::new(&serving, "ann", "user"));
    let job = ada.post("/jobs", &small("transform_executor")).is(202).json();
    let (job, task) = (job["id"].as_str().unwrap(), job["tasks"][0]["id"].as_str().unwrap());
    serving.found(job, |job| job["tasks"][0]["parked_for"] == "approval");
    let other = ann.post("/jobs?wait=60", &small("transform_executor")).is(200).json();
    let other = other["tasks"][0]["id"].as_str().unwrap();

    let waiting = eve.get("/approvals").is(200).json();
    assert_eq!(waiting["approvals"][0]["task_id"], task);
    assert_eq!(ann.get("/approvals").is(200).json()["approvals"], json!([]), "not an approver");
    eve.get(&format!("/tasks/{task}")).problem(404, "unknown-task");
    eve.post(&format!("/tasks/{other}/approve"), &NOTHING).problem(404, "unknown-task");
    ann.post(&format!("/tasks/{task}/approve"), &NOTHING).problem(403, "forbidden");
    let own = ada.post(&format!("/tasks/{task}/approve"), &NOTHING).problem(403, "forbidden");
    assert!(own["detail"].as_str().unwrap().contains("may_approve_own"), "{own:#}");

    let reason = json!({ "reason": "looked at it" });
    eve.post(&format!("/tasks/{task}/approve"), &reason).is(200);
    let ended = serving.ended(job);
    assert_eq!(ended["state"], "completed");
    let decided = &ended["tasks"][0]["approvals"][0]["decided"];
    assert_eq!((&decided["principal"], &decided["reason"]), (&json!("eve"), &reason["reason"]));
}

#[test]
fn policies_are_read_again_when_they_change_and_refused_as_a_whole() {
    // It is asked until the file was seen, as often as that takes.
    let unlimited = "rate_limits: { enabled: false }\n";
    let host = TestHost::new().with_policies(unlimited);
    let serving = Serving::start(&host);
    let ada = Caller::new(&serving, "ada", "user");
    let submit = || ada.post("/jobs?wait=60", &small("transform_executor")).status;
    assert_eq!(submit(), 200);
    host.write_policies(&format!("roles: {{ user: {{ permissions: [jobs-read] }} }}\n{unlimited}"));
    serving.until(|| submit() == 403);
    host.write_policies(&format!(
        "roles:\n  user: {{ permissions: [jobs-submit, fly] }}\n{unlimited}"
    ));
    let finding = || host.run(&["doctor", "--json"]).json()["findings"][0].clone();
    serving.until(|| finding()["check"] == "refused-policies");
    let finding = finding();
    assert!(finding["examples"][0].as_str().unwrap().contains("policies.yaml:2:"), "{finding:#}");
    assert_eq!(submit(), 403, "the old ones stay");
    host.write_policies(unlimited);
    serving.until(|| submit() == 200);
}

#[test]
fn a_host_does_not_start_with_policies_that_are_not_valid() {
    let text = "roles:\n  user: { permissions: [jobs-sumbit], colour: red }\n";
    let host = TestHost::new().with_policies(text);
    for arguments in [&["serve", "--port", "0"][..], &["policies", "check"], &["jobs", "list"]] {
        let ended = host.run(arguments);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        for told in ["policies.yaml", "did you mean `jobs-submit`?", "`roles.user.colour`", "2:"] {
            assert!(ended.stderr.contains(told), "{told} is not in: {}", ended.stderr);
        }
    }
    host.run(&["validate", host.policies_file().to_str().unwrap()]).exits(1);
}

#[test]
fn what_each_role_may_do_is_shown() {
    let text = "roles: { user: { permissions: [jobs-read], blocked_tools: [\"net_*\"] } }\n";
    let host = TestHost::new().with_policies(text);
    let shown = host.run(&["policies", "show", "--json"]).succeeds().json();
    let names: Vec<_> =
        shown["roles"].as_array().unwrap().iter().map(|role| role["name"].clone()).collect();
    assert_eq!(names, ["admin", "agent", "readonly", "user"]);
    assert_eq!(shown["roles"][3]["blocked_tools"], json!(["net_*"]));
    let table = host.run(&["policies", "show"]).succeeds().stdout;
    assert!(table.contains("everything") && table.contains("net_*"), "{table}");
    host.run(&["policies", "check"]).succeeds();
    host.run(&["validate", host.policies_file().to_str().unwrap()]).succeeds();
    let schema = host.run(&["schema", "policies"]).succeeds().json();
    assert_eq!(schema["title"], "policies.yaml of apflow-host");
}
