//! `doctor` on a real host: what it proves, finds and repairs, also while jobs run.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::Serving;

fn names(diagnosis: &Value) -> Vec<&str> {
    let findings = diagnosis["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["check"].as_str().unwrap()).collect()
}

/// Says that it is over, however it ends: else whoever submits would go on for ever.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_host_is_healthy_while_jobs_run() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let task = |id: usize| {
                    json!({ "id": id.to_string(), "executor": "transform_executor",
                            "inputs": { "filter": "1" },
                            "dependencies": if id % 5 == 4 { vec!["0"] } else { vec![] } })
                };
                let tasks: Vec<Value> = (0..40).map(task).collect();
                while !is_done.load(Ordering::Relaxed) {
                    serving.submit("?wait=30", &json!({ "tasks": tasks })).is(200);
                }
            });
            let _until_the_end = Done(&is_done);
            for _ in 0..3 {
                let diagnosis = host.run(&["doctor", "--json"]).succeeds().json();
                assert_eq!(diagnosis["healthy"], true, "{diagnosis:#}");
                if cfg!(target_os = "linux") {
                    // A server has any number of hosts, and none of them holds it.
                    let holder = (!host.is_on_a_server()).then(|| serving.process());
                    assert_eq!(diagnosis["held_by"], json!(holder));
                }
                assert_eq!(diagnosis["data_dir"], host.data().to_str().unwrap());
                assert!(diagnosis["checks"].as_array().unwrap().len() >= 20, "{diagnosis:#}");
            }
        });
        let told = host.run(&["doctor"]).succeeds().stdout;
        assert!(told.starts_with("all is well: "), "{told}");
        assert!(told.contains(" completed"), "{told}");
    }
}

#[test]
fn what_is_wrong_is_named_and_repaired() {
    for host in TestHost::on_each_database() {
        host.run(&["run", "transform_executor", "--input", r#"{"filter": "1"}"#]).succeeds();
        let job = host.jobs()[0]["id"].as_str().unwrap().to_owned();
        host.spoil(&["UPDATE job SET state = 'running', ended_at = NULL, event_count = 9"]);
        let astray = host.data().join("files/j_0000000000001/t_0000000000002");
        fs::create_dir_all(&astray).unwrap();
        fs::write(astray.join("a"), "x").unwrap();
        let old = host.data().join("uploads").join("ab".repeat(32));
        fs::write(&old, "x").unwrap();
        let touch = ["-d", "2020-01-01", old.to_str().unwrap()];
        assert!(Command::new("touch").args(touch).stdin(Stdio::null()).status().unwrap().success());
        let diagnosis = host.run(&["doctor", "--json"]).exits(1).json();
        assert_eq!(diagnosis["healthy"], false);
        assert_eq!(names(&diagnosis), ["job-state", "event-count", "file-without-row"]);
        assert_eq!(diagnosis["findings"][0]["examples"], json!([job]));
        assert_eq!(diagnosis["findings"][2]["count"], 2);
        let told = host.run(&["doctor"]).exits(1).stdout;
        let line = format!("job-state: 1: {job}\n");
        assert!(told.contains(&line) && told.contains("`apflow-host doctor --repair`"), "{told}");

        let repaired = host.run(&["doctor", "--repair"]).succeeds().stdout;
        assert!(repaired.starts_with("repaired job-state: "), "{repaired}");
        assert!(repaired.contains("all is well: "), "{repaired}");
        assert_eq!(host.jobs()[0]["state"], "completed");
        assert!(!astray.exists() && !old.exists());
        let again = host.run(&["doctor", "--repair", "--json"]).succeeds().json();
        assert_eq!((again["healthy"].clone(), again["repairs"].clone()), (json!(true), json!([])));
    }
}

#[test]
fn what_cannot_be_repaired_says_what_to_do() {
    let host = TestHost::new();
    host.run(&["run", "transform_executor", "--input", r#"{"filter": "1"}"#]).succeeds();
    host.spoil(&["DELETE FROM task_output"]);
    let told = host.run(&["doctor", "--repair"]).exits(1).stdout;
    assert!(told.contains("output-missing: 1: t_"), "{told}");
    assert!(told.contains("restore a backup, or submit the job again"), "{told}");
}
