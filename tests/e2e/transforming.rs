//! Large files through a filter, in the memory of a small guest.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::host::TestHost;

/// More than the memory of the guest.
const FILE_BYTES: u64 = 300 << 20;
const MEMORY_BYTES: u64 = 256 << 20;

/// Writes lines of the form `{"n": 0, "keep": true, "text": …}` until the file is that large, and says
/// how many there are.
fn write_lines(path: &Path, bytes: u64) -> u64 {
    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = BufWriter::new(file.unwrap());
    let (text, mut written, mut n) = ("x".repeat(4_000), 0, 0);
    while written < bytes {
        let line = format!("{{\"n\":{n},\"keep\":{},\"text\":\"{text}\"}}\n", n % 4 == 0);
        file.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        n += 1;
    }
    file.flush().unwrap();
    n
}

fn run(host: &TestHost, folder: &TempDir, input: &Value) -> Value {
    let grant = format!("fs.in={}", folder.path().display());
    let input = input.to_string();
    let arguments = ["run", "transform_executor", "--json", "--grant", &grant, "--input", &input];
    host.run(&arguments).succeeds().json()
}

#[test]
fn a_file_larger_than_the_memory_is_filtered_line_by_line() {
    let (host, folder) = (TestHost::new(), TempDir::new().unwrap());
    let count = write_lines(&folder.path().join("items.jsonl"), FILE_BYTES);
    let input = json!({ "file": "items.jsonl", "format": "lines", "output_file": "kept.jsonl",
                        "filter": "select(.keep) | {n}" });
    let task = run(&host, &folder, &input);
    let output = &task["output"];
    assert_eq!((&output["inputs"], &output["skipped"]), (&json!(count), &json!(0)));
    assert_eq!(output["values"], json!(count.div_ceil(4)));
    let memory = task["usage"]["memory_bytes_peak"].as_u64().unwrap();
    assert!(memory < MEMORY_BYTES / 8, "{memory} bytes of memory");
    let left = fs::read_dir(host.data().join("files")).unwrap();
    let left = find(&left.map(|entry| entry.unwrap().path()).collect::<Vec<_>>());
    let kept = fs::read_to_string(left).unwrap();
    let mut bytes = 0;
    for (index, line) in kept.lines().enumerate() {
        bytes += line.len() + 1;
        assert_eq!(line, format!("{{\"n\":{}}}", index * 4));
    }
    assert_eq!(output["bytes"], json!(bytes));
}

/// The one file named `kept.jsonl` below these folders.
fn find(folders: &[std::path::PathBuf]) -> std::path::PathBuf {
    let below = |folder: &std::path::PathBuf| -> Vec<_> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    folders
        .iter()
        .find_map(|path| {
            if path.is_dir() {
                let inner = below(path);
                return (!inner.is_empty()).then(|| find(&inner));
            }
            path.ends_with("kept.jsonl").then(|| path.clone())
        })
        .unwrap()
}

#[test]
fn a_sum_over_a_large_file_holds_no_line() {
    let (host, folder) = (TestHost::new(), TempDir::new().unwrap());
    let count = write_lines(&folder.path().join("items.jsonl"), 64 << 20);
    let input = json!({ "file": "items.jsonl", "format": "lines", "null_input": true,
                        "filter": "reduce inputs as $item (0; . + $item.n)" });
    let task = run(&host, &folder, &input);
    assert_eq!(task["output"], json!(count * (count - 1) / 2));
    let memory = task["usage"]["memory_bytes_peak"].as_u64().unwrap();
    assert!(memory < MEMORY_BYTES / 8, "{memory} bytes of memory");
}

#[test]
fn a_bad_line_in_the_middle_is_named_or_skipped() {
    let (host, folder) = (TestHost::new(), TempDir::new().unwrap());
    fs::write(folder.path().join("items.jsonl"), "{\"a\":1}\noops\n{\"a\":2}\n").unwrap();
    let input = |on_error: &str| {
        json!({ "file": "items.jsonl", "format": "lines", "filter": ".a", "collect": true,
                "on_error": on_error })
    };
    assert_eq!(run(&host, &folder, &input("skip"))["output"], json!([1, 2]));
    let grant = format!("fs.in={}", folder.path().display());
    let arguments = ["run", "transform_executor", "--grant", &grant, "--input"];
    let ended = host.run(&[&arguments[..], &[&input("fail").to_string()]].concat()).exits(1);
    ended.says(&["items.jsonl is not JSON in column 1: expected value (line 2)"]);
}
