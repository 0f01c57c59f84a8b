//! The first five minutes of a user.

use std::collections::BTreeMap;

use crate::host::TestHost;

const QUICKSTART: [&str; 6] =
    ["run", "batch", "--tasks", "@docs/guide/quickstart.json", "--grant", "fs.in=."];

#[test]
fn the_quickstart_completes_on_a_host_that_was_never_started() {
    let host = TestHost::fresh();
    let job = host.run(&[&QUICKSTART[..], &["--json"]].concat()).succeeds().json();
    assert_eq!(job["state"], "completed");
    let tasks = job["tasks"].as_array().unwrap();
    assert!(tasks.len() >= 4, "{} tasks", tasks.len());
    let mut states: BTreeMap<&str, &str> = tasks
        .iter()
        .map(|task| (task["reference"].as_str().unwrap(), task["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states.remove("latest_release"), Some("failed"));
    assert!(states.values().all(|state| *state == "completed"), "{states:?}");
    let refused = tasks.iter().find(|task| task["reference"] == "latest_release").unwrap();
    assert_eq!(refused["fault"]["code"], "capability-denied");
    let report = tasks.iter().find(|task| task["reference"] == "report").unwrap();
    assert_eq!(report["output"]["missing"], serde_json::json!(["latest_release"]));
    assert_eq!(report["output"]["result"]["license"], "MIT License");
    assert_eq!(host.jobs().len(), 1);
}

#[test]
fn the_quickstart_is_drawn_as_a_tree_with_its_refusal_below() {
    let ended = TestHost::new().run(&QUICKSTART).succeeds();
    for text in [
        "quickstart j_",
        "├─ lockfile",
        "│  └─ crates",
        "✗ failed",
        "latest_release: capability-denied: ",
        "--grant http=https://api.github.com",
    ] {
        assert!(ended.stdout.contains(text), "{text:?} is not in:\n{}", ended.stdout);
    }
}
