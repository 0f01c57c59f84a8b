//! What a host removes: by itself when it is old, and at once when somebody wants so.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::guests::{NEVER_ENDS, USES_FILES};
use crate::host::TestHost;
use crate::serving::Serving;

const FOLDERS: &str = "capabilities: { fs: { in: read, out: write } }";

/// How many files and folders are below a folder of the data directory.
fn count(host: &TestHost, name: &str) -> usize {
    fn below(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| 1 + below(&entry.unwrap().path())).sum()
    }
    below(&host.data().join(name))
}

/// Submits a job that leaves a file, and waits for its end.
fn leave_a_file(serving: &Serving<'_>) -> String {
    let inputs = json!({ "args": ["write", "/out/a", "x"] });
    let job = json!({ "executor": USES_FILES.name(), "inputs": inputs });
    let job = serving.submit("?wait=30", &job).is(200).json();
    assert_eq!(job["state"], "completed", "{job:#}");
    id(&job)
}

fn id(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_kept_long_enough_goes_with_its_files_and_the_rest_stays() {
    for host in TestHost::on_each_database() {
        USES_FILES.load(&host, FOLDERS);
        NEVER_ENDS.load(&host, "limits: { timeout: 1h }");
        let serving = Serving::start(&host);
        let old = leave_a_file(&serving);
        let upload = |bytes| {
            let upload = serving.ask("POST /api/v1/files?name=a", Some(serving.token()), bytes);
            upload.is(201).json()["file_id"].as_str().unwrap().to_owned()
        };
        upload(b"nobody names it");
        let named = upload(b"an open job names it");
        let inputs = json!({ "args": [{ "$file": named }] });
        let late = json!({ "executor": USES_FILES.name(), "inputs": inputs,
                           "run_at": "2100-01-01T00:00:00Z" });
        let open = id(&serving.submit("", &late).is(202).json());
        assert_eq!(serving.stop(), Some(0));
        host.spoil(&[
            "UPDATE job SET created_at = 1, ended_at = ended_at - 86400000 * CAST(29 AS BIGINT) \
             WHERE ended_at IS NOT NULL",
            "UPDATE upload SET used_at = 1",
        ]);
        let serving = Serving::start(&host);
        serving.until(|| count(&host, "uploads") == 1);
        serving.get(&format!("/api/v1/jobs/{old}")).is(200);
        let young = leave_a_file(&serving);
        assert_eq!(serving.stop(), Some(0));

        host.spoil(&["UPDATE job SET ended_at = ended_at - 86400000 * CAST(2 AS BIGINT) WHERE created_at = 1"]);
        let serving = Serving::start(&host);
        serving.until(|| count(&host, "files") == 3);
        serving.get(&format!("/api/v1/jobs/{old}")).problem(404, "unknown-job");
        serving.get(&format!("/api/v1/jobs/{young}/files/task-1/a")).is(200);
        assert_eq!(serving.get(&format!("/api/v1/jobs/{open}")).is(200).json()["state"], "pending");
        host.run(&["doctor"]).succeeds();
    }
}

#[test]
fn what_shall_never_go_stays() {
    let host = TestHost::new();
    fs::create_dir_all(host.config_file().parent().unwrap()).unwrap();
    fs::write(host.config_file(), "retention: { completed_days: never, failed_days: 1 }\n")
        .unwrap();
    let run = |filter: &str| {
        let input = json!({ "filter": filter }).to_string();
        host.run(&["run", "transform_executor", "--input", &input])
    };
    run("1").succeeds();
    run("error(\"no\")").exits(1);
    let states =
        || -> Vec<Value> { host.jobs().into_iter().map(|mut job| job["state"].take()).collect() };
    assert_eq!(states(), ["failed", "completed"]);
    host.spoil(&["UPDATE job SET ended_at = 1"]);
    let serving = Serving::start(&host);
    serving.until(|| states() == ["completed"]);
    assert_eq!(serving.stop(), Some(0));
    fs::write(host.config_file(), "retention: { completed_days: 0 }\n").unwrap();
    host.run(&["jobs", "list"]).exits(70).says(&["1:30", "from 1 to 36500 or `never`"]);
}

#[test]
fn a_job_is_removed_at_once_when_it_has_ended() {
    for host in TestHost::on_each_database() {
        USES_FILES.load(&host, FOLDERS);
        NEVER_ENDS.load(&host, "limits: { timeout: 1h }");
        let serving = Serving::start(&host);
        let ask = |what: &str| serving.ask(what, Some(serving.token()), b"");
        let running = id(&serving.submit("", &json!({ "executor": "never_ends" })).is(202).json());
        let purge = format!("DELETE /api/v1/jobs/{running}?purge=true");
        let refused = ask(&purge).problem(409, "job-not-ended");
        assert!(refused["detail"].as_str().unwrap().contains(&running), "{refused:#}");
        host.run(&["jobs", "purge", &running]).exits(1).says(&["error[job-not-ended]: "]);
        let cancelled = ask(&format!("DELETE /api/v1/jobs/{running}")).is(200).json();
        assert_eq!(id(&cancelled), running);
        serving.ended(&running);
        assert_eq!(ask(&purge).is(200).json(), json!({ "purged": running }));
        ask(&purge).problem(404, "unknown-job");

        let left = leave_a_file(&serving);
        assert_eq!(count(&host, "files"), 3);
        let told = host.run(&["jobs", "purge", &left]).succeeds();
        assert_eq!(told.stdout, format!("removed {left}\n"));
        assert_eq!(count(&host, "files"), 0);
        host.run(&["jobs", "purge", &left]).exits(1).says(&["error[unknown-job]: "]);
        host.run(&["doctor"]).succeeds();
    }
}

#[test]
fn many_jobs_are_removed_by_their_end() {
    let host = TestHost::new();
    let run = |filter: &str| {
        let input = json!({ "filter": filter }).to_string();
        host.run(&["run", "transform_executor", "--input", &input])
    };
    run("1").succeeds();
    run("1").succeeds();
    run("error(\"no\")").exits(1);
    let purge = |arguments: &[&str]| {
        let all: Vec<_> = ["jobs", "purge", "--json"].iter().chain(arguments).copied().collect();
        host.run(&all)
    };
    assert_eq!(purge(&["--before", "2020-01-31"]).succeeds().json(), json!({ "purged": 0 }));
    let failed = purge(&["--before", "2100-01-01T00:00:00Z", "--state", "failed"]).succeeds();
    assert_eq!(failed.json(), json!({ "purged": 1 }));
    assert_eq!(host.jobs().len(), 2);
    assert_eq!(purge(&["--before", "2100-01-01"]).succeeds().json(), json!({ "purged": 2 }));
    host.holds_nothing();
    purge(&["--before", "2100-01-01", "--state", "running"]).exits(2);
    purge(&["--before", "soon"]).exits(2);
    purge(&[]).exits(2);
}
