//! Guests that do what a sandbox must stop: all of them by `selftest`, and what that does not show.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{
    BEHAVES, EATS_MEMORY, FLOODS_STDOUT, Guest, LIES_IN_ITS_MANIFEST, NEVER_ENDS, PANICS,
    READS_OUTSIDE_ITS_GRANT, READS_UNGRANTED_VARIABLES, RECURSES_FOREVER, path,
};
use crate::host::TestHost;

/// How many guests there are at least.
const GUESTS_MIN: usize = 40;
/// The most memory that the host may take while it holds all of them.
const PEAK_MEMORY_BYTES_MAX: u64 = 512 << 20;
const FILES: &str = "capabilities: { fs: { in: read } }";

#[test]
fn every_hostile_guest_is_contained_and_the_host_stays_small() {
    let report = TestHost::new().run(&["selftest", "--json"]).succeeds().json();
    let guests = report["guests"].as_array().unwrap();
    assert!(guests.len() >= GUESTS_MIN, "{} guests", guests.len());
    for guest in guests {
        assert_eq!(guest["contained"], true, "{guest:#}");
        assert!(!guest["limit"].as_str().unwrap().is_empty(), "{guest:#}");
    }
    let peak = report["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak <= PEAK_MEMORY_BYTES_MAX, "{} MiB", peak >> 20);
}

#[test]
fn one_guest_can_be_tested_alone() {
    let host = TestHost::new();
    host.run(&["selftest", "--only", "panics"]).succeeds();
    host.run(&["selftest", "--only", "sleeps_well"]).exits(1).says(&["no guest", "panics"]);
}

#[test]
fn what_is_inside_the_granted_folder_can_be_read() {
    let granted = TempDir::new().unwrap();
    fs::create_dir(granted.path().join("below")).unwrap();
    fs::write(granted.path().join("below/notes.txt"), "allowed").unwrap();
    symlink("below/notes.txt", granted.path().join("inside")).unwrap();
    let host = TestHost::new();
    READS_OUTSIDE_ITS_GRANT.load(&host, FILES);
    let inside = ["/in/below/notes.txt", "/in/inside", "/in/below/../below/notes.txt"];
    let (input, grant) =
        (json!({ "args": inside }).to_string(), format!("fs.in={}", path(&granted)));
    let name = READS_OUTSIDE_ITS_GRANT.name();
    let output = host.run(&["run", name, "--input", &input, "--grant", &grant]).succeeds().json();
    let text = output["stdout"].as_str().unwrap();
    assert_eq!(text.matches("holds allowed").count(), inside.len(), "{text}");
}

#[test]
fn without_a_granted_folder_there_are_no_files() {
    let host = TestHost::new();
    READS_OUTSIDE_ITS_GRANT.load(&host, FILES);
    let input = json!({ "args": ["/in/notes.txt", "/etc/passwd", "."] }).to_string();
    let output = host.run(&["run", "reads_outside_its_grant", "--input", &input]).succeeds().json();
    let text = output["stdout"].as_str().unwrap();
    assert_eq!(text.matches("is out of reach").count(), 3, "{text}");
}

#[test]
fn a_task_can_shorten_its_time_but_not_lengthen_it() {
    let host = TestHost::new();
    NEVER_ENDS.load(&host, "limits: { timeout: 300ms }");
    for (seconds, limit) in [(0.1, "longer than 100"), (600.0, "longer than 300")] {
        let task = json!([{ "executor": "never_ends", "timeout_seconds": seconds }]).to_string();
        let job = host.run(&["run", "batch", "--json", "--tasks", &task]).exits(1).json();
        let fault = job["tasks"][0]["fault"].to_string();
        assert!(fault.contains("limit-exceeded") && fault.contains(limit), "{fault}");
    }
}

#[test]
fn an_output_over_its_limit_is_a_fault() {
    let host = TestHost::new();
    for mebibytes in [33, 48] {
        let input = json!({ "filter": "\"0123456789abcdef\" * (. * 65536)", "input": mebibytes });
        let arguments = ["run", "transform_executor", "--json", "--input", &input.to_string()];
        let task = host.run(&arguments).exits(1).json();
        assert_eq!(task["fault"]["code"], "limit-exceeded", "{}", task["fault"]);
        let message = task["fault"]["message"].as_str().unwrap();
        assert!(message.contains("`limits.output`"), "{message}");
    }
}

#[test]
fn a_log_over_its_limit_is_cut_and_the_task_goes_on() {
    let host = TestHost::new();
    let input =
        r#"{"filter": "[range(50000) | \"a line that is worth nothing\" | debug] | length"}"#;
    let task =
        host.run(&["run", "transform_executor", "--json", "--input", input]).succeeds().json();
    assert_eq!(task["output"], 50_000);
    let logged = task["usage"]["log_bytes"].as_u64().unwrap();
    assert!((1 << 19..=1 << 20).contains(&logged), "{logged} bytes");
}

#[test]
fn fuel_runs_out_at_the_same_place_every_time() {
    let host = TestHost::new();
    NEVER_ENDS.load(&host, "limits: { fuel: 5000000 }");
    let used = || {
        let task = fails(&host, NEVER_ENDS, "limit-exceeded", "5000000 units of fuel");
        task["usage"]["fuel"].clone()
    };
    assert_eq!(used(), used());
}

#[test]
fn a_guest_sees_only_variables_that_it_asks_for_and_was_granted() {
    let host = TestHost::new();
    READS_UNGRANTED_VARIABLES.load(&host, "capabilities: { env: [ASKED, GRANTED] }");
    let environment = [("ASKED", "a"), ("GRANTED", "g"), ("SECRET", "s")];
    let run = |arguments: &[&str]| {
        let arguments = [&["run", "reads_ungranted_variables"], arguments].concat();
        host.run_with(&arguments, "", &environment)
    };
    assert_eq!(run(&[]).succeeds().json()["stdout"], "");
    assert_eq!(run(&["--grant", "env=GRANTED"]).succeeds().json()["stdout"], "GRANTED=g\n");
    run(&["--grant", "env=SECRET"]).exits(3).says(&["error[grant-not-asked]: ", "`env=SECRET`"]);
}

#[test]
fn a_manifest_that_lies_is_refused_with_every_import_it_hides() {
    let host = TestHost::new();
    LIES_IN_ITS_MANIFEST.try_load(&host, "").exits(1).says(&[
        "error[component-refused]: ",
        "`wasi:clocks/wall-clock@0.2.",
        "`wasi:clocks/monotonic-clock@0.2.",
        "needs `capabilities: { clocks: true }`",
        "`wasi:random/random@0.2.",
        "needs `capabilities: { random: true }`",
        "`wasi:filesystem/types@0.2.",
        "needs `capabilities: { fs: { in: read } }`",
    ]);
    let half = "capabilities: { clocks: true, fs: { in: read } }";
    let ended = LIES_IN_ITS_MANIFEST.try_load(&host, half).exits(1).says(&["`wasi:random/random@"]);
    assert!(!ended.stderr.contains("wasi:clocks"), "{}", ended.stderr);
    host.holds_nothing();
    LIES_IN_ITS_MANIFEST
        .load(&host, "capabilities: { clocks: true, random: true, fs: { in: read } }");
}

#[test]
fn bad_neighbours_do_not_disturb_a_good_guest() {
    let host = TestHost::new();
    let bad = [NEVER_ENDS, EATS_MEMORY, FLOODS_STDOUT, PANICS, RECURSES_FOREVER];
    for guest in bad.into_iter().chain([BEHAVES]) {
        guest.load(&host, "limits: { timeout: 10s, memory: 16MiB, output: 1MiB }");
    }
    let task = |guest: Guest, id: String| {
        json!({ "id": id, "executor": guest.name(), "max_attempts": 1,
                "timeout_seconds": if guest.name() == NEVER_ENDS.name() { 0.5 } else { 10.0 } })
    };
    let mut tasks: Vec<Value> = Vec::new();
    for round in 0..3 {
        tasks.extend(bad.map(|guest| task(guest, format!("{}-{round}", guest.name()))));
        tasks.push(task(BEHAVES, format!("behaves-{round}")));
    }
    let tasks = json!(tasks).to_string();
    let job = host.run(&["run", "batch", "--json", "--tasks", &tasks]).exits(1).json();
    for task in job["tasks"].as_array().unwrap() {
        let expected = if task["executor"] == "behaves" { "completed" } else { "failed" };
        assert_eq!(task["state"], expected, "{task:#}");
    }
}

/// Runs a guest that must fail with this code and a message that has this text.
#[track_caller]
fn fails(host: &TestHost, guest: Guest, code: &str, text: &str) -> Value {
    let task = host.run(&["run", guest.name(), "--json"]).exits(1).json();
    assert_eq!(task["fault"]["code"], code, "{task:#}");
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains(text), "{message}");
    task
}
