//! What the command line says of jobs that ran, and two hosts on one data directory.

use serde_json::json;

use crate::guests::BEHAVES;
use crate::host::TestHost;
use crate::serving::Serving;

#[test]
fn jobs_are_listed_newest_first_and_page_by_page() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let ids: Vec<String> = (0..5)
        .map(|_| {
            let task = host.run(&["run", "behaves", "--json"]).succeeds().json();
            task["job_id"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut listed = Vec::new();
    let mut arguments = vec!["jobs".to_owned(), "list".into(), "--json".into(), "--limit=2".into()];
    loop {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let page = host.run(&words).succeeds().json();
        let jobs = page["jobs"].as_array().unwrap().iter();
        listed.extend(jobs.map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["cursor"].as_str() else { break };
        arguments.truncate(4);
        arguments.push(format!("--cursor={cursor}"));
    }
    assert_eq!(listed, ids.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_job_is_shown_with_its_attempts() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let task = host.run(&["run", "behaves", "--json"]).succeeds().json();
    let id = task["job_id"].as_str().unwrap();
    let job = host.run(&["jobs", "show", id, "--json"]).succeeds().json();
    assert_eq!(job["principal"], "operator");
    assert_eq!(job["tasks"][0], task);
    assert_eq!(job["tasks"][0]["attempts"][0]["n"], 1);
    let drawn = host.run(&["jobs", "show", id]).succeeds();
    assert!(drawn.stdout.contains("✓ completed"), "{}", drawn.stdout);
    let unknown = "j_0000000000000";
    host.run(&["jobs", "show", unknown]).exits(1).says(&["error[unknown-job]: ", unknown]);
}

#[test]
fn a_host_beside_a_serving_one_is_refused_and_stores_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let input = r#"{"filter": "."}"#;
    host.run(&["run", "transform_executor", "--input", input, "--direct"])
        .exits(1)
        .says(&["error[host-locked]: ", "submit over its HTTP API"]);
    host.run(&["serve", "--port", "0"]).exits(1).says(&["error[host-locked]: "]);
    host.holds_nothing();
    assert_eq!(serving.stop(), Some(0));
    host.run(&["run", "transform_executor", "--input", input]).succeeds();
}

#[test]
fn what_is_loaded_beside_a_serving_host_can_be_used_at_once() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    BEHAVES.load(&host, "");
    let job = serving.submit("?wait=30", &json!({ "executor": "behaves" })).is(200).json();
    assert_eq!(job["state"], "completed");
    assert_eq!(host.loaded(), ["behaves"]);
    assert_eq!(host.jobs()[0]["id"], job["id"]);
}

#[test]
fn what_is_removed_beside_a_serving_host_cannot_be_used_any_more() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let serving = Serving::start(&host);
    serving.submit("?wait=30", &json!({ "executor": "behaves" })).is(200);
    host.run(&["plugins", "remove", "behaves"]).succeeds();
    let job = json!({ "executor": "behaves" });
    serving.submit("", &job).problem(422, "unknown-executor");
}
