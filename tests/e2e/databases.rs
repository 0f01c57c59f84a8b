//! Where the database is, and what becomes of a host that cannot use it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::host::TestHost;
use crate::postgres::{make_database, run_in};
use crate::serving::Serving;

/// The longest that a test waits for a host to recover.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a task.
const RUN: [&str; 4] = ["run", "transform_executor", "--input", r#"{"filter": "1"}"#];

#[test]
fn a_url_names_the_file_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    let host = TestHost::fresh().with_database(&format!("sqlite://{}", file.display()));
    host.run(&RUN).succeeds();
    assert_eq!(host.jobs().len(), 1);
    assert!(file.exists() && !host.data().join("apflow.db").exists());
}

#[test]
fn what_is_wrong_with_a_url_is_said_without_its_password() {
    for (url, why) in [
        ("mysql://ada:hunter2@localhost/jobs", "neither PostgreSQL nor SQLite"),
        (
            "postgres://ada:hunter#2@localhost/jobs",
            "the address of the database in `DATABASE_URL` is not valid",
        ),
        ("postgres://ada:hunter2@localhost:1/jobs", "postgres://ada@localhost:1/jobs"),
        ("sqlite:///nowhere/jobs.db", "/nowhere/jobs.db"),
    ] {
        let refused = TestHost::fresh().with_database(url).run(&["jobs", "list"]).exits(70);
        let refused = refused.says(&["error[database-unavailable]: ", why]);
        assert!(!refused.stderr.contains("hunter"), "{}", refused.stderr);
    }
    let Some(url) = make_database() else { return };
    let url = url.replace("apflow@", "guarded:hunter2@");
    let refused = TestHost::fresh().with_database(&url).run(&["jobs", "list"]).exits(70);
    let refused =
        refused.says(&["error[database-unavailable]: ", "password authentication failed"]);
    assert!(!refused.stderr.contains("hunter"), "{}", refused.stderr);
}

#[test]
fn one_host_at_a_time_runs_the_tasks_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let (first, second) = (TestHost::new(), TestHost::new());
    let (first, second) = (first.with_database(&url), second.with_database(&url));
    let serving = Serving::start(&first);
    for verb in [&RUN[..], &["worker"]] {
        let locked = second.run(verb).exits(1);
        locked.says(&["error[host-locked]: ", "`DATABASE_URL`"]);
    }
    serving.kill();
    second.run(&RUN).succeeds();
}

#[test]
fn any_number_of_hosts_run_the_tasks_of_a_server() {
    let Some(url) = make_database() else { return };
    let (first, second) = (TestHost::new(), TestHost::new());
    let (first, second) = (first.with_database(&url), second.with_database(&url));
    let _serving = Serving::start(&first);
    second.run(&RUN).succeeds();
}

#[test]
fn a_host_whose_database_is_gone_says_so_and_recovers() {
    let Some(url) = make_database() else { return };
    let name = url.split(['/', '?']).nth(3).unwrap();
    let elsewhere = url.replace(name, "ready");
    let host = TestHost::new().with_database(&url);
    let serving = Serving::start(&host);
    serving.ask("GET /ready", None, b"").is(200);
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    let before = serving.submit("?wait=30", &job).is(200).json();

    let shut = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    let disconnect =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    run_in(&elsewhere, &[&shut, &disconnect]);
    let refused = serving.submit("", &job);
    assert_eq!(refused.headers["retry-after"], "1");
    refused.problem(503, "database-unavailable");
    wait_for_ready(&serving, 503);
    serving.ask("GET /ready", None, b"").problem(503, "database-unavailable");
    serving.ask("GET /health", None, b"").is(200);

    run_in(&elsewhere, &[&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")]);
    wait_for_ready(&serving, 200);
    let id = before["id"].as_str().unwrap();
    assert_eq!(serving.get(&format!("/api/v1/jobs/{id}")).is(200).json(), before);
    let after = serving.submit("?wait=30", &job).is(200).json();
    assert_eq!(after["state"], "completed");
}

/// Asks whether the host is ready until the answer has this status.
fn wait_for_ready(serving: &Serving<'_>, status: u16) {
    let start = Instant::now();
    while serving.ask("GET /ready", None, b"").status != status {
        assert!(start.elapsed() < PATIENCE, "it is not {status}");
        std::thread::yield_now();
    }
}
