//! Guests that do what a sandbox must stop: one bad deed each.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{
    BEHAVES, EATS_MEMORY, EXITS_WITH_FAILURE, FLOODS_STDERR, FLOODS_STDOUT, Guest,
    LIES_IN_ITS_MANIFEST, MAKES_DO_WITH_LESS, NEVER_ENDS, PANICS, READS_OUTSIDE_ITS_GRANT,
    READS_UNGRANTED_VARIABLES, RECURSES_FOREVER, SLEEPS_FOREVER, WRITES_TO_ITS_INPUT, path,
};
use crate::host::TestHost;

const FILES: &str = "capabilities: { fs: { in: read } }";

#[test]
fn nothing_outside_the_granted_folder_can_be_read() {
    let outer = TempDir::new().unwrap();
    let granted = outer.path().join("granted");
    fs::create_dir_all(granted.join("below")).unwrap();
    fs::write(outer.path().join("secret.txt"), "secret").unwrap();
    fs::write(granted.join("below/notes.txt"), "allowed").unwrap();
    symlink("/etc/passwd", granted.join("absolute")).unwrap();
    symlink("../secret.txt", granted.join("relative")).unwrap();
    symlink("/", granted.join("root")).unwrap();
    symlink("below/notes.txt", granted.join("inside")).unwrap();
    let host = TestHost::new();
    READS_OUTSIDE_ITS_GRANT.load(&host, FILES);
    let outside = [
        "/etc/passwd",
        "../../../../etc/passwd",
        "/in/../../../etc/passwd",
        "/in/../secret.txt",
        "/in/below/../../secret.txt",
        "/in/absolute",
        "/in/relative",
        "/in/root/etc/passwd",
        "/proc/self/environ",
        "/in/root/proc/self/environ",
    ];
    let inside = ["/in/below/notes.txt", "/in/inside", "/in/below/../below/notes.txt"];
    let paths: Vec<&str> = outside.into_iter().chain(inside).collect();
    let input = json!({ "args": paths }).to_string();
    let grant = format!("fs.in={}", granted.display());
    let name = READS_OUTSIDE_ITS_GRANT.name();
    let output = host.run(&["run", name, "--input", &input, "--grant", &grant]).succeeds().json();
    let text = output["stdout"].as_str().unwrap();
    for path in outside {
        assert!(text.contains(&format!("{path} is out of reach")), "{text}");
    }
    for path in inside {
        assert!(text.contains(&format!("{path} holds allowed")), "{text}");
    }
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
fn the_granted_folder_can_only_be_read() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("notes.txt"), "as before").unwrap();
    let host = TestHost::new();
    WRITES_TO_ITS_INPUT.load(&host, FILES);
    let grant = format!("fs.in={}", path(&folder));
    let output = host.run(&["run", "writes_to_its_input", "--grant", &grant]).succeeds().json();
    let text = output["stdout"].as_str().unwrap();
    assert_eq!(text.matches(": refused").count(), 6, "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "as before");
}

#[test]
fn a_guest_that_never_ends_is_stopped_in_time() {
    for guest in [NEVER_ENDS, SLEEPS_FOREVER] {
        let host = TestHost::new();
        guest.load(&host, "capabilities: { clocks: true }\nlimits: { timeout: 200ms }");
        let start = Instant::now();
        let task = fails(&host, guest, "limit-exceeded", "it ran longer than 200");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        let used = task["usage"]["wall_us"].as_u64().unwrap();
        assert!((200_000..5_000_000).contains(&used), "{used} µs");
    }
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
fn a_guest_that_eats_memory_is_stopped_at_its_limit() {
    let host = TestHost::new();
    EATS_MEMORY.load(&host, "limits: { memory: 16MiB }");
    let task = fails(&host, EATS_MEMORY, "limit-exceeded", "`limits.memory`");
    let peak = task["usage"]["memory_bytes_peak"].as_u64().unwrap();
    assert!((8 << 20..=16 << 20).contains(&peak), "{peak}");
}

#[test]
fn a_refused_growth_is_no_fault_of_a_guest_that_makes_do() {
    let host = TestHost::new();
    MAKES_DO_WITH_LESS.load(&host, "limits: { memory: 16MiB }");
    let output = host.run(&["run", "makes_do_with_less"]).succeeds().json();
    let taken: u32 = output["stdout"].as_str().unwrap().parse().unwrap();
    assert!((8..16).contains(&taken), "{taken} MiB");
}

#[test]
fn a_guest_that_floods_its_output_is_stopped() {
    for guest in [FLOODS_STDOUT, FLOODS_STDERR] {
        let host = TestHost::new();
        guest.load(&host, "limits: { stdout: 1MiB, stderr: 1MiB }");
        fails(&host, guest, "limit-exceeded", "1 MiB");
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
fn a_panic_is_a_fault_with_its_last_words() {
    let host = TestHost::new();
    PANICS.load(&host, "");
    fails(&host, PANICS, "trapped", "it was the butler");
}

#[test]
fn a_full_stack_is_a_fault_and_not_the_end_of_the_host() {
    let host = TestHost::new();
    RECURSES_FOREVER.load(&host, "");
    let task = host.run(&["run", "recurses_forever", "--json"]).exits(1).json();
    assert_eq!(task["fault"]["code"], "trapped", "{task:#}");
}

#[test]
fn an_exit_code_fails_the_task_with_the_end_of_its_complaint() {
    let host = TestHost::new();
    EXITS_WITH_FAILURE.load(&host, "");
    // WASI 0.2 tells success from failure, and no more.
    let message = "the command ended with exit code 1: the disk is made of cheese";
    fails(&host, EXITS_WITH_FAILURE, "permanent", message);
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
