//! Several tasks in a job: outputs passed on, and failures that do or do not matter.

use serde_json::{Value, json};

use crate::guests::EXITS_WITH_FAILURE;
use crate::host::{Ended, TestHost};

#[test]
fn an_output_is_passed_on_whole_or_in_part() {
    let job = run(&json!([
        transform("parts", &json!({ "a/b": [10, 20] }), "."),
        after("second", &["parts"], &json!({ "$from": "parts", "pointer": "/a~1b/1" }), "."),
        after("whole", &["parts"], &json!({ "$from": "parts" }), "."),
        after(
            "nested",
            &["parts", "second"],
            &json!({ "deep": [{ "$from": "second" }, { "$from": "parts", "pointer": "/a~1b" }] }),
            "."
        ),
    ]))
    .succeeds()
    .json();
    assert_eq!(task(&job, "second")["output"], 20);
    assert_eq!(task(&job, "whole")["output"], json!({ "a/b": [10, 20] }));
    assert_eq!(task(&job, "nested")["output"], json!({ "deep": [20, [10, 20]] }));
}

#[test]
fn an_aggregate_says_why_an_optional_result_is_missing() {
    let outcome = |task: &str| json!({ "$from": task, "pointer": "/n", "outcome": true });
    let job = run(&json!([
        transform("north", &json!({ "n": 702 }), "."),
        transform("south", &json!({ "n": 1 }), "error(\"closed\")"),
        {
            "id": "total",
            "executor": "aggregate_results_executor",
            "dependencies": ["north", { "id": "south", "required": false }],
            "inputs": { "strategy": "sum",
                        "outcomes": { "north": outcome("north"), "south": outcome("south") } },
        },
    ]))
    .json();
    let total = &task(&job, "total")["output"];
    assert_eq!((&total["result"], &total["missing"]), (&json!(702), &json!(["south"])), "{job:#}");
    let reason = total["reasons"]["south"].as_str().unwrap();
    assert!(reason.starts_with("failed: invalid-input: ") && reason.contains("closed"), "{reason}");
}

#[test]
fn a_pointer_that_finds_nothing_fails_the_task_before_it_runs() {
    let job = run(&json!([
        transform("parts", &json!({ "a": 1 }), "."),
        after("lost", &["parts"], &json!({ "$from": "parts", "pointer": "/b" }), "."),
    ]))
    .exits(1)
    .json();
    let lost = task(&job, "lost");
    assert_eq!(lost["state"], "failed");
    assert_eq!(lost["fault"]["code"], "reference-unresolved");
    let message = lost["fault"]["message"].as_str().unwrap();
    assert!(message.contains("/b") && message.contains("`parts`"), "{message}");
    assert_eq!(lost["usage"]["wall_us"], 0, "the executor was called");
}

#[test]
fn an_input_that_does_not_suit_once_it_is_known_fails_the_task() {
    let job = run(&json!([
        transform("number", &json!(7), "."),
        {
            "id": "unsuited",
            "executor": "transform_executor",
            "dependencies": ["number"],
            "inputs": { "filter": { "$from": "number" } },
        },
    ]))
    .exits(1)
    .json();
    let unsuited = task(&job, "unsuited");
    assert_eq!(unsuited["fault"]["code"], "invalid-input");
    let message = unsuited["fault"]["message"].as_str().unwrap();
    assert!(message.starts_with("inputs/filter: "), "{message}");
    assert_eq!(unsuited["usage"]["wall_us"], 0, "the executor was called");
}

#[test]
fn what_requires_a_failed_task_is_skipped_and_so_on_downwards() {
    let job = run(&json!([
        transform("bad", &json!(null), "error(\"no\")"),
        after("child", &["bad"], &json!({ "$from": "bad" }), "."),
        after("grandchild", &["child"], &json!({ "$from": "child" }), "."),
        transform("stranger", &json!(1), "."),
    ]))
    .exits(1)
    .json();
    assert_eq!(job["state"], "failed");
    let states =
        ["bad", "child", "grandchild", "stranger"].map(|id| task(&job, id)["state"].clone());
    assert_eq!(states, ["failed", "skipped", "skipped", "completed"]);
    assert_eq!(task(&job, "child")["attempts"], json!([]));
}

#[test]
fn an_optional_dependency_that_fails_is_null_and_excused() {
    let optional = json!([{ "id": "bad", "required": false }]);
    let job = run(&json!([
        transform("bad", &json!(null), "error(\"no\")"),
        {
            "id": "after",
            "executor": "transform_executor",
            "dependencies": optional,
            "inputs": { "filter": ".", "input": { "saw": { "$from": "bad", "pointer": "/x/y" } } },
        },
    ]))
    .succeeds()
    .json();
    assert_eq!(job["state"], "completed");
    assert_eq!(task(&job, "bad")["state"], "failed");
    assert_eq!(task(&job, "after")["output"], json!({ "saw": null }));
}

#[test]
fn an_optional_dependency_that_completes_is_its_output() {
    let job = run(&json!([
        transform("good", &json!({ "x": 5 }), "."),
        {
            "id": "after",
            "executor": "transform_executor",
            "dependencies": [{ "id": "good", "required": false }],
            "inputs": { "filter": ".", "input": { "$from": "good", "pointer": "/x" } },
        },
    ]))
    .succeeds()
    .json();
    assert_eq!(task(&job, "after")["output"], 5);
}

#[test]
fn a_forest_of_many_tasks_ends_with_every_task_completed() {
    let mut tasks = vec![transform("0", &json!(0), ". + 1")];
    for n in 1..60 {
        let before = (n - 1) / 2;
        let input = json!({ "$from": before.to_string() });
        tasks.push(after(&n.to_string(), &[&before.to_string()], &input, ". + 1"));
    }
    let job = run(&json!(tasks)).succeeds().json();
    assert_eq!(job["task_count"], 60);
    assert!(job["tasks"].as_array().unwrap().iter().all(|task| task["state"] == "completed"));
    assert_eq!(task(&job, "59")["output"], 6);
}

#[test]
fn a_job_that_failed_for_more_than_refusals_exits_with_1() {
    let host = TestHost::new();
    EXITS_WITH_FAILURE.load(&host, "");
    let refused = json!({ "executor": "rest_executor", "inputs": { "url": "http://a.test/" } });
    let failed = json!({ "executor": "exits_with_failure" });
    let run = |tasks: Value| host.run(&["run", "batch", "--json", "--tasks", &tasks.to_string()]);
    run(json!([refused])).exits(3);
    run(json!([refused, failed])).exits(1);
    // What was skipped is what comes of a refusal.
    let waits = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                        "dependencies": ["refused"] });
    let mut named = refused.clone();
    named["id"] = json!("refused");
    run(json!([named, waits])).exits(3);
}

/// Runs a forest on a host of its own.
fn run(tasks: &Value) -> Ended {
    TestHost::new().run(&["run", "batch", "--json", "--tasks", &tasks.to_string()])
}

/// A task that waits for nothing.
fn transform(id: &str, input: &Value, filter: &str) -> Value {
    after(id, &[], input, filter)
}

/// A task that waits for others.
fn after(id: &str, dependencies: &[&str], input: &Value, filter: &str) -> Value {
    json!({
        "id": id,
        "executor": "transform_executor",
        "dependencies": dependencies,
        "inputs": { "filter": filter, "input": input },
    })
}

/// The task of a job with this reference.
fn task<'a>(job: &'a Value, reference: &str) -> &'a Value {
    let tasks = job["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["reference"] == reference).unwrap()
}
