//! The audit: what every call leaves behind, and what becomes of a chain that somebody touches.

use std::fs;

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::Serving;

fn task() -> Value {
    json!({"executor": "transform_executor", "inputs": {"filter": "1"}})
}

/// The lines that are listed with this query, oldest first.
fn lines(serving: &Serving<'_>, query: &str) -> Vec<Value> {
    let listed = serving.get(&format!("/api/v1/audit?limit=1000{query}")).is(200).json();
    assert_eq!(listed["cursor"], Value::Null);
    let mut lines = listed["lines"].as_array().unwrap().clone();
    lines.reverse();
    lines
}

#[test]
fn every_call_leaves_a_line_that_says_who_what_and_how() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let submitted = serving.submit("", &task()).is(202);
        let id = submitted.json()["id"].as_str().unwrap().to_owned();
        serving.get("/api/v1/jobs/j_0000000000001").problem(404, "unknown-job");
        serving.submit("", &json!({"executor": "nothing"})).problem(422, "unknown-executor");
        serving.post("", b"{").problem(400, "invalid-request");
        serving.get("/api/v1/jobs?colour=red").problem(400, "invalid-request");
        serving.ask("GET /api/v1/plugins", Some("apf_wrong"), b"").problem(401, "unauthorized");

        let own = lines(&serving, &format!("&target={id}&verb=jobs.submit"));
        assert_eq!(own.len(), 1, "{own:#?}");
        assert_eq!(own[0]["request"], submitted.headers["x-request-id"]);
        assert_eq!((&own[0]["principal"], &own[0]["role"]), (&json!("admin"), &json!("admin")));
        assert_eq!((&own[0]["decision"], &own[0]["code"]), (&json!("allowed"), &Value::Null));
        assert!(own[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{own:#?}");

        let failed = lines(&serving, "&decision=failed");
        let of = |line: &Value| format!("{} {}", line["verb"], line["code"]).replace('"', "");
        assert_eq!(
            failed.iter().map(of).collect::<Vec<_>>(),
            [
                "jobs.find unknown-job",
                "jobs.submit unknown-executor",
                "jobs.submit invalid-request",
                "jobs.list invalid-request",
            ]
        );
        assert_eq!(failed[0]["target"], "j_0000000000001");
        let refused = lines(&serving, "&decision=refused");
        assert_eq!((refused.len(), of(&refused[0])), (1, "plugins.list unauthorized".to_owned()));
        assert_eq!((&refused[0]["principal"], &refused[0]["role"]), (&Value::Null, &Value::Null));
        assert_eq!(serving.stop(), Some(0));

        let shown = host.run(&["jobs", "show", &id, "--json"]).succeeds().json();
        assert_eq!(shown["id"], id.as_str());
        let listed = host.run(&["audit", "list", "--principal", "operator", "--json"]);
        let listed = listed.succeeds().json();
        let last = &listed["lines"][0];
        assert_eq!((&last["verb"], &last["target"]), (&json!("jobs.find"), &json!(id)));
        assert_eq!((&last["request"], &last["peer"]), (&Value::Null, &Value::Null));
        let found = host.run(&["audit", "verify", "--json"]).succeeds().json();
        assert_eq!(found["intact"], true);
        assert!(found["lines"].as_u64().unwrap() >= 8, "{found:#}");
    }
}

#[test]
fn every_job_that_was_accepted_has_its_line_after_a_crash() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start_idle(&host);
        let accepted: Vec<String> = (0..50)
            .map(|_| serving.submit("", &task()).is(202).json()["id"].as_str().unwrap().to_owned())
            .collect();
        serving.kill();
        let serving = Serving::start_idle(&host);
        let lines = lines(&serving, "&verb=jobs.submit&decision=allowed");
        let about: Vec<&str> = lines.iter().map(|line| line["target"].as_str().unwrap()).collect();
        assert_eq!(about, accepted);
        host.run(&["audit", "verify"]).succeeds();
    }
}

#[test]
fn a_chain_that_somebody_touched_is_found_with_its_first_wrong_line() {
    for (spoil, flaw, line) in [
        ("UPDATE audit_line SET principal = 'eve' WHERE n = 3", "changed", 3),
        ("DELETE FROM audit_line WHERE n = 4", "missing", 4),
        ("DELETE FROM audit_line WHERE n > 4", "cut", 4),
    ] {
        let host = TestHost::new();
        for _ in 0..5 {
            host.run(&["jobs", "list"]).succeeds();
        }
        let before = host.run(&["audit", "verify", "--json"]).succeeds().json();
        let head = before["head"]["hash"].as_str().unwrap().to_owned();
        host.run(&["audit", "verify", "--head", &head]).succeeds();
        host.spoil(&[spoil]);
        let found = host.run(&["audit", "verify", "--json"]).exits(1).json();
        assert_eq!((&found["flaw"], &found["n"]), (&json!(flaw), &json!(line)), "{found:#}");
        assert_eq!(found["intact"], false);
    }
}

#[test]
fn a_chain_that_was_cut_and_sealed_anew_is_told_by_a_head_from_elsewhere() {
    let host = TestHost::new();
    for _ in 0..3 {
        host.run(&["jobs", "list"]).succeeds();
    }
    let before = host.run(&["audit", "verify", "--json"]).succeeds().json();
    host.spoil(&[
        "DELETE FROM audit_line WHERE n > 2",
        "UPDATE audit_chain SET last_n = 2, last_hash = (SELECT hash FROM audit_line WHERE n = 2)",
    ]);
    host.run(&["audit", "verify"]).succeeds();
    let head = before["head"]["hash"].as_str().unwrap();
    let found = host.run(&["audit", "verify", "--head", head, "--json"]).exits(1).json();
    assert_eq!((&found["flaw"], &found["head"]["n"]), (&json!("unsealed"), &json!(3)));
    assert_eq!(found["wanted"], head);
}

#[test]
fn an_export_is_verified_alone() {
    let host = TestHost::new();
    for _ in 0..3 {
        host.run(&["jobs", "list"]).succeeds();
    }
    let count = host.run(&["audit", "verify", "--json"]).succeeds().json()["lines"].clone();
    // The look at them, and no other.
    let count = count.as_u64().unwrap() + 1;
    let export = host.run(&["audit", "export"]).succeeds().stdout;
    let file = host.data().join("export.jsonl");
    let verify = |text: &str| {
        fs::write(&file, text).unwrap();
        // With the folders of nobody: nothing but the file is read.
        let stranger = TestHost::fresh();
        let found = stranger.run(&["audit", "verify", "--json", "--file", file.to_str().unwrap()]);
        assert!(!stranger.data().exists());
        found
    };
    let found = verify(&export).succeeds().json();
    assert_eq!((&found["lines"], &found["after"]["n"]), (&json!(count), &json!(0)));
    let changed = export.replacen("\"operator\"", "\"nobody\"", 1);
    assert_eq!(verify(&changed).exits(1).json()["flaw"], "changed");
    let short: String = export.split_inclusive('\n').take(3).collect();
    verify(&short).exits(1).says(&["cut short"]);
    verify("{}\n").exits(1).says(&["no export"]);

    let rest = host.run(&["audit", "export", "--after", "2"]).succeeds().stdout;
    let found = verify(&rest).succeeds().json();
    assert_eq!(found["after"]["n"], 2);
    assert!(found["lines"].as_u64().unwrap() >= count - 2, "{found:#}");
}

#[test]
fn a_tick_of_a_schedule_is_a_submission_of_who_made_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let spec = json!({"cron": "* * * * * *", "job": task()});
    let put = spec.to_string();
    serving.ask("PUT /api/v1/schedules/often", Some(serving.token()), put.as_bytes()).is(200);
    serving.until(|| !lines(&serving, "&verb=jobs.submit").is_empty());
    let ticked = lines(&serving, "&verb=jobs.submit").remove(0);
    assert_eq!((&ticked["principal"], &ticked["role"]), (&json!("admin"), &json!("admin")));
    assert_eq!((&ticked["reason"], &ticked["peer"]), (&json!("schedule often"), &Value::Null));
    serving.get(&format!("/api/v1/jobs/{}", ticked["target"].as_str().unwrap())).is(200);
    let made = lines(&serving, "&verb=schedules.put");
    assert_eq!((made.len(), &made[0]["target"]), (1, &json!("often")));
}

#[test]
fn calls_that_only_read_have_no_lines_where_the_operator_wants_none() {
    let host = TestHost::new().with_settings("audit: { reads: false, days: 1 }\n");
    let serving = Serving::start(&host);
    serving.get("/api/v1/jobs").is(200);
    serving.submit("", &task()).is(202);
    serving.get("/api/v1/jobs/j_0000000000001").problem(404, "unknown-job");
    let all = lines(&serving, "&principal=admin");
    let verbs: Vec<&str> = all.iter().map(|line| line["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["jobs.submit", "jobs.find"], "{all:#?}");
}
