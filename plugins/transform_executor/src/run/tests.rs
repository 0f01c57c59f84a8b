//! The whole path from a source to a target, on folders of the test.

#![expect(clippy::disallowed_methods, reason = "the files that the tests read and write")]
#![expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// Runs with a file `in.jsonl`. Returns the output and what is in `/out/out`.
fn run_lines(lines: &str, fields: Value) -> (Result<Value, String>, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("in.jsonl"), lines).unwrap();
    let mut input = json!({ "filter": ".", "file": "in.jsonl", "format": "lines" });
    input.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let folders = Folders { input: folder.path(), output: &folder.path().join("left") };
    let ran = run(serde_json::from_value(input).unwrap(), &folders, &|_| ());
    let written = fs::read_to_string(folder.path().join("left/out")).unwrap_or_default();
    (ran.map(|(output, _)| output).map_err(|error| error.to_string()), written)
}

#[test]
fn the_filter_is_run_for_each_line() {
    let (output, _) = run_lines("1\n2\n", json!({ "filter": ". * 2", "collect": true }));
    assert_eq!(output, Ok(json!([2, 4])));
    let (output, _) = run_lines("1\n2\n", json!({}));
    assert!(output.unwrap_err().contains("more than one value"));
}

#[test]
fn all_lines_come_at_once_when_slurped() {
    let (output, _) = run_lines("1\n2\n", json!({ "filter": "add", "slurp": true }));
    assert_eq!(output, Ok(json!(3)));
}

#[test]
fn a_filter_asks_for_the_lines_itself() {
    let filter = "reduce inputs as $n (0; . + $n)";
    let (output, _) = run_lines("1\n2\n3", json!({ "filter": filter, "null_input": true }));
    assert_eq!(output, Ok(json!(6)));
    let (output, _) = run_lines("1\n2\n3\n4", json!({ "filter": "[., input]", "collect": true }));
    assert_eq!(output, Ok(json!([[1, 2], [3, 4]])));
    let (output, _) = run_lines("1\n{\n", json!({ "filter": filter, "null_input": true }));
    assert!(output.unwrap_err().contains("in.jsonl is not JSON in column 1"));
}

#[test]
fn what_is_yielded_is_written_one_a_line_and_counted() {
    let fields = json!({ "filter": "select(. != 2) | {n: .}", "output_file": "out" });
    let (output, written) = run_lines("1\n2\n3\n", fields);
    assert_eq!(written, "{\"n\":1}\n{\"n\":3}\n");
    let expected = json!({ "file": "out", "values": 2, "bytes": 16, "inputs": 3, "skipped": 0,
                           "skipped_lines": [] });
    assert_eq!(output, Ok(expected));
}

#[test]
fn raw_text_is_written_as_it_is() {
    let lines = "\"a\"\n[1]\n";
    let fields = json!({ "raw_output": true, "output_file": "out" });
    assert_eq!(run_lines(lines, fields).1, "a\n[1]\n");
    assert_eq!(run_lines(lines, json!({ "raw_output": true })).0, Ok(json!("a\n[1]\n")));
}

#[test]
fn a_bad_line_fails_with_its_number() {
    let (output, _) = run_lines("1\n\n{x}\n", json!({ "collect": true }));
    let message = output.unwrap_err();
    assert!(
        message.ends_with("is not JSON in column 2: key must be a string (line 3)"),
        "{message}"
    );
    let fields = json!({ "filter": ".a", "collect": true });
    let (output, _) = run_lines("{}\n7\n", fields);
    let message = output.unwrap_err();
    assert!(message.starts_with("line 2: the filter failed: cannot index 7"), "{message}");
}

#[test]
fn bad_lines_are_skipped_and_counted() {
    let fields = json!({ "filter": ".a", "on_error": "skip", "output_file": "out" });
    let (output, written) = run_lines("{\"a\":1}\n{x}\n7\n{\"a\":2}\n", fields);
    let output = output.unwrap();
    assert_eq!(written, "1\n2\n");
    assert_eq!(
        (&output["values"], &output["inputs"], &output["skipped"]),
        (&json!(2), &json!(3), &json!(2))
    );
    let lines: Vec<_> = output["skipped_lines"].as_array().unwrap().iter().collect();
    assert_eq!((&lines[0]["line"], &lines[1]["line"]), (&json!(2), &json!(3)));
    let many = "x\n".repeat(100);
    let fields = json!({ "on_error": "skip", "output_file": "out" });
    let output = run_lines(&many, fields).0.unwrap();
    assert_eq!(
        (&output["skipped"], output["skipped_lines"].as_array().unwrap().len()),
        (&json!(100), 10)
    );
}

#[test]
fn a_filter_that_asks_for_lines_skips_bad_ones_too() {
    let fields = json!({ "filter": "[inputs]", "null_input": true, "on_error": "skip" });
    assert_eq!(run_lines("1\nx\n2\n", fields).0, Ok(json!([1, 2])));
}

#[test]
fn a_file_is_made_in_the_folders_of_its_path() {
    let folder = TempDir::new().unwrap();
    let folders = Folders { input: folder.path(), output: folder.path() };
    let input = json!({ "filter": "1", "output_file": "a/b/c.jsonl" });
    let (output, _) = run(serde_json::from_value(input).unwrap(), &folders, &|_| ()).unwrap();
    assert_eq!(output["file"], "a/b/c.jsonl");
    assert_eq!(fs::read_to_string(folder.path().join("a/b/c.jsonl")).unwrap(), "1\n");
}

#[test]
fn a_filter_that_does_not_end_is_stopped() {
    let (output, _) = run_lines("1\n", json!({ "filter": "repeat(.)", "collect": true }));
    assert!(output.unwrap_err().contains("more than 1000000 values"));
    let (output, _) =
        run_lines("1\n", json!({ "filter": "repeat(\"x\" * 65536)", "raw_output": true }));
    assert!(output.unwrap_err().contains("bytes of text"));
}

#[test]
fn arguments_are_found_by_place_and_by_name() {
    let fields = json!({ "filter": "[$ARGS.positional[1], $ARGS.named.a, $a]", "args": [1, "x"],
                         "variables": { "a": 7 } });
    assert_eq!(run_lines("0\n", fields).0, Ok(json!(["x", 7, 7])));
}

#[test]
fn halt_ends_all() {
    let fields = json!({ "filter": "if . == 2 then halt else . end", "collect": true });
    assert_eq!(run_lines("1\n2\n3\n", fields).0, Ok(json!([1])));
}
