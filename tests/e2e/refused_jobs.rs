//! Submissions that are refused: a clear error, the documented exit code, and nothing stored.

use std::fs;

use serde_json::{Value, json};

use crate::host::TestHost;

#[test]
fn json_that_cannot_be_read_is_a_fault_of_usage() {
    let host = TestHost::new();
    for arguments in [
        ["run", "transform_executor", "--input", "{\"filter\": "],
        ["run", "batch", "--tasks", "[{]"],
        ["run", "transform_executor", "--input", ""],
    ] {
        host.run(&arguments).exits(2).says(&[
            "error[invalid-request]: ",
            "the argument is not JSON: ",
            "line 1 column",
        ]);
    }
    host.run_with(&["run", "batch", "--tasks", "-"], "no JSON", &[])
        .exits(2)
        .says(&["standard input is not JSON: "]);
    host.holds_nothing();
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let host = TestHost::new();
    let arguments = ["run", "batch", "--tasks", "@/no/such/file.json"];
    host.run(&arguments).exits(1).says(&["/no/such/file.json: ", "No such file"]);
    host.holds_nothing();
}

#[test]
fn a_grant_that_cannot_be_read_is_a_fault_of_usage() {
    let host = TestHost::new();
    for grant in ["http", "http=", "http=ftp://a.test", "http=https://a.test/?x", "tcp=a", "x=y"] {
        let input = r#"{"filter": "."}"#;
        let arguments = ["run", "transform_executor", "--input", input, "--grant", grant];
        host.run(&arguments).exits(2).says(&["--grant", grant]);
    }
    host.holds_nothing();
}

#[test]
fn a_grant_that_nobody_asks_for_is_refused() {
    let host = TestHost::new();
    let tasks = json!([transform("a", &json!("."))]).to_string();
    let grant = "http=https://api.example.com";
    host.run(&["run", "batch", "--tasks", &tasks, "--grant", grant]).exits(3).says(&[
        "error[grant-not-asked]: ",
        "grant `http=https://api.example.com`",
        "`transform_executor`",
        "fs.in",
    ]);
    let input = r#"{"results": {}}"#;
    let arguments = ["run", "aggregate_results_executor", "--input", input, "--grant", "fs.in=."];
    host.run(&arguments).exits(3).says(&["it asks for nothing"]);
    host.holds_nothing();
}

#[test]
fn an_input_against_the_schema_is_refused_with_its_place() {
    let host = TestHost::new();
    let input = r#"{"filter": 7}"#;
    let ended = host.run(&["run", "transform_executor", "--json", "--input", input]).exits(1);
    assert_eq!(ended.error()["code"], "invalid-input");
    assert_eq!(ended.error()["pointer"], "/inputs/filter");
    let unknown = r#"{"filter": ".", "imput": 1}"#;
    host.run(&["run", "transform_executor", "--input", unknown])
        .exits(1)
        .says(&["error[invalid-input]: /inputs", "imput"]);
    let tasks = json!([transform("a", &json!(".")), transform("b", &json!({}))]).to_string();
    let ended = host.run(&["run", "batch", "--json", "--tasks", &tasks]).exits(1);
    assert_eq!(ended.error()["pointer"], "/tasks/1/inputs/filter");
    host.holds_nothing();
}

#[test]
fn an_unknown_executor_is_refused_with_the_nearest_name() {
    let host = TestHost::new();
    host.run(&["run", "rest_executer"]).exits(1).says(&[
        "error[unknown-executor]: ",
        "there is no executor `rest_executer`: did you mean `rest_executor`?",
    ]);
    host.run(&["run", "q"]).exits(1).says(&["`apflow-host plugins list` shows"]);
    host.holds_nothing();
}

#[test]
fn a_forest_with_a_fault_is_refused_with_its_place() {
    let host = TestHost::new();
    let from = |task: &str| json!({ "$from": task });
    let after = |id: &str, on: &str| {
        json!({ "id": id, "executor": "transform_executor", "inputs": { "filter": "." },
                "dependencies": [on] })
    };
    let mut unknown = transform("a", &json!("."));
    unknown["priorty"] = json!(1);
    let mut range = transform("a", &json!("."));
    range["priority"] = json!(4);
    let mut outside = transform("b", &json!("."));
    outside["inputs"]["input"] = from("a");
    let mut nobody = transform("a", &json!("."));
    nobody["inputs"]["input"] = from("nobody");
    let twice = transform("a", &json!("."));
    for (tasks, pointer, text) in [
        (json!([nobody]), "/tasks/0/inputs/input/$from", "nobody"),
        (json!([twice, outside]), "/tasks/1/inputs/input/$from", "dependencies"),
        (json!([after("a", "b"), after("b", "a")]), "/tasks/0/dependencies", "`a` waits for `b`"),
        (json!([after("a", "a")]), "/tasks/0/dependencies", "circle"),
        (json!([after("a", "gone")]), "/tasks/0/dependencies/0", "gone"),
        (json!([unknown]), "/tasks/0/priorty", "priorty"),
        (json!([range]), "/tasks/0/priority", "is 4"),
        (json!([twice, twice]), "/tasks/1/id", "`a`"),
        (json!([]), "/tasks", "0 tasks"),
    ] {
        let tasks = tasks.to_string();
        let ended = host.run(&["run", "batch", "--json", "--tasks", &tasks]).exits(1);
        let error = ended.error();
        assert_eq!(error["code"], "invalid-job", "{tasks}: {error:#}");
        assert_eq!(error["pointer"], pointer, "{tasks}: {error:#}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(text), "{text:?} is not in {message}");
    }
    host.holds_nothing();
}

#[test]
fn an_input_over_its_size_is_refused() {
    let host = TestHost::new();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("large.json");
    fs::write(&file, format!("\"{}\"", "x".repeat(16 << 20))).unwrap();
    let at = format!("@{}", file.display());
    host.run(&["run", "transform_executor", "--input", &at]).exits(1).says(&["16 MiB"]);
    host.holds_nothing();
}

#[test]
fn a_word_that_there_is_not_is_a_fault_of_usage() {
    let host = TestHost::fresh();
    host.run(&["rum", "transform_executor"]).exits(2).says(&["rum", "run"]);
    host.run(&["jobs", "list", "--state", "stopped"]).exits(2).says(&["stopped"]);
    host.run(&["jobs", "show", "not-an-id"]).exits(2).says(&["not-an-id"]);
    host.run(&["serve", "--port", "65536"]).exits(2).says(&["65536"]);
    assert!(!host.data().exists(), "something was made");
}

/// A task with this filter.
fn transform(id: &str, filter: &Value) -> Value {
    json!({ "id": id, "executor": "transform_executor", "inputs": { "filter": filter } })
}
