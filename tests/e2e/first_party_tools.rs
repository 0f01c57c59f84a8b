//! The tools that come with the host: what their pages promise, and that they do what the programs
//! of the system do.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::guests::path;
use crate::host::{TestHost, project};

/// Where the tools and their pages are.
const TOOLS: &str = "plugins/tools";
/// How often each tool is compared with the program of the system, on a text of its own.
const ROUNDS: u64 = 12;
/// A file that is much larger than the memory of the tools that read it piece by piece.
const LARGE_BYTES: usize = 64 << 20;

/// Runs tools in one job, and returns the outputs in their order.
#[track_caller]
fn run_all(host: &TestHost, tasks: &[Value], grants: &[&str]) -> Vec<Value> {
    let tasks: Vec<Value> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| {
            let mut task = task.clone();
            task["id"] = format!("task_{index:04}").into();
            task["max_attempts"] = 1.into();
            task
        })
        .collect();
    let grants = grants.iter().flat_map(|grant| ["--grant", grant]);
    let arguments: Vec<&str> =
        ["run", "batch", "--tasks", "-", "--json"].into_iter().chain(grants).collect();
    let job = host.run_with(&arguments, &json!(tasks).to_string(), &[]).succeeds().json();
    let ended = job["tasks"].as_array().unwrap().iter();
    let ended: BTreeMap<&str, &Value> =
        ended.map(|task| (task["reference"].as_str().unwrap(), task)).collect();
    ended.into_values().map(|task| task["output"].clone()).collect()
}

/// An example of a page.
struct Example {
    page: PathBuf,
    task: Value,
    text: String,
}

/// Every block of JSON in a page is a task, and the block of text after it is what comes out.
fn examples(page: &Path) -> Vec<Example> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```json\n").skip(1).map(|after| {
        let (task, after) = after.split_once("```\n").unwrap();
        let (text, _) =
            after.trim_start().strip_prefix("```text\n").unwrap().split_once("```\n").unwrap();
        (serde_json::from_str(task).unwrap(), text.to_owned())
    });
    blocks.map(|(task, text)| Example { page: page.to_owned(), task, text }).collect()
}

#[test]
fn every_tool_does_what_its_page_says() {
    let folders = fs::read_dir(project().join(TOOLS)).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<PathBuf> = folders.map(|folder| folder.join("README.md")).collect();
    assert!(pages.len() >= 12, "{} tools", pages.len());
    let examples: Vec<Example> = pages
        .into_iter()
        .flat_map(|page| {
            let examples = examples(&page);
            assert!(!examples.is_empty(), "{} has no example", page.display());
            examples
        })
        .collect();
    let tasks: Vec<Value> = examples.iter().map(|example| example.task.clone()).collect();
    let outputs = run_all(&TestHost::new(), &tasks, &[]);
    for (Example { page, task, text }, output) in examples.iter().zip(outputs) {
        let (page, found) = (page.display(), output["text"].as_str().unwrap());
        assert_eq!(found.trim_matches('\n'), text.trim_matches('\n'), "{page}: {task}");
    }
}

#[test]
fn every_tool_is_installed_and_its_manifest_is_valid() {
    let host = TestHost::new();
    let listed = host.run(&["tools", "list", "--json"]).succeeds().json();
    let listed = listed["tools"].as_array().unwrap().iter();
    let mut installed: Vec<&str> =
        listed.clone().map(|tool| tool["manifest"]["name"].as_str().unwrap()).collect();
    let folders = fs::read_dir(project().join(TOOLS)).unwrap();
    let mut folders: Vec<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    installed.sort_unstable();
    assert_eq!(installed, folders);
    // Their components are not beside them: the host holds those.
    host.run(&["validate", TOOLS]).succeeds();
}

/// Numbers that look random and are the same in every run: Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Some lines of short words and numbers, so that many are alike.
    fn text(&mut self) -> String {
        const WORDS: [&str; 12] =
            ["a", "B", "b", "aa", "", "10", "9", "-3.5", "007", "x,y", " c", "\td"];
        let mut text = String::new();
        for _ in 0..self.below(40) {
            for _ in 0..=self.below(3) {
                text.push_str(WORDS[usize::try_from(self.below(12)).unwrap()]);
                text.push([' ', ',', '\t'][usize::try_from(self.below(3)).unwrap()]);
            }
            text.push('\n');
        }
        if self.below(4) == 0 {
            text.push_str("no end");
        }
        text
    }
}

/// What is asked of a tool and of the program of its name: the flags are those of both.
const COMPARED: [(&str, &str); 32] = [
    ("base64", "{}"),
    ("base64", r#"{"wrap": "0"}"#),
    ("base64", r#"{"wrap": "7"}"#),
    ("grep", r#"{"pattern": "a", "line_number": true}"#),
    ("grep", r#"{"pattern": "[0-9]", "only_matching": true}"#),
    ("grep", r#"{"pattern": "b", "ignore_case": true, "count": true}"#),
    ("grep", r#"{"pattern": "x,y", "fixed_strings": true, "invert_match": true}"#),
    ("grep", r#"{"pattern": "aa", "word_regexp": true, "context": "1"}"#),
    ("grep", r#"{"pattern": "9", "max_count": "2", "after_context": "2"}"#),
    ("head", "{}"),
    ("head", r#"{"lines": "3"}"#),
    ("head", r#"{"lines": "-3"}"#),
    ("head", r#"{"bytes": "20"}"#),
    ("head", r#"{"bytes": "-20"}"#),
    ("sha256sum", "{}"),
    ("sort", "{}"),
    ("sort", r#"{"reverse": true}"#),
    ("sort", r#"{"unique": true, "ignore_case": true}"#),
    ("sort", r#"{"numeric_sort": true}"#),
    ("sort", r#"{"key": "2,2n", "stable": true}"#),
    ("sort", r#"{"key": "2.2,3r", "field_separator": ","}"#),
    ("sort", r#"{"key": "2b,2", "ignore_leading_blanks": true}"#),
    ("tail", r#"{"lines": "3"}"#),
    ("tail", r#"{"lines": "+3"}"#),
    ("tail", r#"{"bytes": "20"}"#),
    ("uniq", "{}"),
    ("uniq", r#"{"count": true, "ignore_case": true}"#),
    ("uniq", r#"{"repeated": true, "skip_fields": "1"}"#),
    ("uniq", r#"{"unique": true, "skip_chars": "2"}"#),
    ("wc", "{}"),
    ("wc", r#"{"lines": true}"#),
    ("wc", r#"{"bytes": true, "words": true}"#),
];

/// What the program of the system writes for a tool's inputs.
fn asked_of_the_system(program: &str, inputs: &Map<String, Value>, text: &str) -> String {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped());
    for (name, value) in inputs {
        let flag = format!("--{}", name.replace('_', "-"));
        match value.as_str() {
            None => command.arg(flag),
            Some(value) if name == "pattern" => command.arg(format!("--regexp={value}")),
            Some(value) => command.arg(format!("{flag}={value}")),
        };
    }
    let mut child = command.spawn().unwrap();
    // Some programs read no further than they must.
    drop(child.stdin.take().unwrap().write_all(text.as_bytes()));
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn tools_do_what_the_programs_of_the_system_do() {
    let (mut random, mut tasks, mut expected) = (Random(20_261_121), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (tool, inputs) in COMPARED {
            let text = random.text();
            let mut inputs: Map<String, Value> = serde_json::from_str(inputs).unwrap();
            expected.push(asked_of_the_system(tool, &inputs, &text));
            inputs.insert("text".to_owned(), text.into());
            tasks.push(json!({ "tool": tool, "inputs": inputs }));
        }
    }
    let outputs = run_all(&TestHost::new(), &tasks, &[]);
    for ((task, expected), output) in tasks.iter().zip(expected).zip(outputs) {
        assert_eq!(output["text"], expected, "{task}");
    }
}

#[test]
fn what_one_tool_encodes_it_decodes() {
    let mut random = Random(7);
    let texts: Vec<String> = (0..ROUNDS).map(|_| random.text()).collect();
    let host = TestHost::new();
    let task = |text: &Value, decode: bool| json!({ "tool": "base64", "inputs": { "text": text, "decode": decode } });
    let encode: Vec<Value> = texts.iter().map(|text| task(&json!(text), false)).collect();
    let encoded = run_all(&host, &encode, &[]);
    let decode: Vec<Value> = encoded.iter().map(|output| task(&output["text"], true)).collect();
    let decoded: Vec<Value> =
        run_all(&host, &decode, &[]).iter().map(|output| output["text"].clone()).collect();
    assert_eq!(decoded, texts);
}

#[test]
fn patch_makes_the_new_text_of_the_old_one_and_the_difference() {
    let mut random = Random(3);
    let pairs: Vec<(String, String)> =
        (0..ROUNDS).map(|_| (random.text(), random.text())).filter(|(a, b)| a != b).collect();
    let tasks: Vec<Value> = pairs
        .iter()
        .map(|(old, new)| {
            json!({ "tool": "diff", "inputs": { "old_text": old, "new_text": new, "unified": "1" } })
        })
        .collect();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("text");
    for ((old, new), output) in pairs.iter().zip(run_all(&TestHost::new(), &tasks, &[])) {
        fs::write(&file, old).unwrap();
        let mut patch = Command::new("patch");
        patch.args(["--quiet", "--force"]).arg(&file).stdin(Stdio::piped());
        let mut child = patch.spawn().unwrap();
        let difference = output["text"].as_str().unwrap();
        child.stdin.take().unwrap().write_all(difference.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{difference}");
        assert_eq!(fs::read_to_string(&file).unwrap_or_default(), *new, "{difference}");
    }
}

#[test]
fn files_are_read_below_the_granted_folder() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.yaml"), "n: 1\n").unwrap();
    fs::write(folder.path().join("b.csv"), "n\n2\n").unwrap();
    let tasks = [
        json!({ "tool": "wc", "inputs": { "files": ["/in/a.yaml", "/in/b.csv"], "lines": true } }),
        json!({ "tool": "jq", "inputs": { "filter": ".n", "files": ["/in/a.yaml"] } }),
        json!({ "tool": "csv", "inputs": { "operation": "select", "file": "/in/b.csv" } }),
        json!({ "tool": "diff", "inputs": { "old_file": "/in/b.csv", "new_file": "/in/b.csv" } }),
    ];
    let grant = format!("fs.in={}", path(&folder));
    let host = TestHost::new();
    let outputs = run_all(&host, &tasks, &[&grant]);
    let texts: Vec<&str> = outputs.iter().map(|output| output["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["1 /in/a.yaml\n2 /in/b.csv\n3 total\n", "1\n", "n\n2\n", ""]);
    // As people type it.
    let typed = host.run(&["run", "head", "--grant", &grant, "--", "--lines", "1", "/in/b.csv"]);
    assert_eq!(typed.succeeds().json()["text"], "n\n");
    let ended = host.run(&["run", "wc", "/in/a.yaml"]).exits(3);
    ended.says(&["error[capability-denied]", "/in/a.yaml: ", "--grant fs.in=PATH"]);
}

#[test]
fn a_large_file_goes_through_little_memory() {
    let folder = TempDir::new().unwrap();
    let line = "all work and no play makes jack a dull boy\n";
    let text = line.repeat(LARGE_BYTES / line.len());
    fs::write(folder.path().join("large"), &text).unwrap();
    let lines = text.lines().count();
    let grant = format!("fs.in={}", path(&folder));
    let host = TestHost::new();
    for (tool, inputs, expected) in [
        ("wc", json!({ "lines": true, "files": ["/in/large"] }), format!("{lines} /in/large\n")),
        (
            "grep",
            json!({ "pattern": "dull", "count": true, "files": ["/in/large"] }),
            format!("{lines}\n"),
        ),
        ("tail", json!({ "lines": "1", "files": ["/in/large"] }), line.to_owned()),
        ("uniq", json!({ "count": true, "file": "/in/large" }), format!("{lines:7} {line}")),
        ("sha256sum", json!({ "files": ["/in/large"] }), digest(&folder.path().join("large"))),
    ] {
        let input = inputs.to_string();
        let run = ["run", tool, "--json", "--grant", &grant, "--input", &input];
        let task = host.run(&run).succeeds().json();
        assert_eq!(task["output"]["text"], expected, "{tool}");
        let peak = task["usage"]["memory_bytes_peak"].as_u64().unwrap();
        assert!(peak <= 4 << 20, "{tool} took {peak} bytes");
    }
}

/// The line of the system's `sha256sum` for a file that the task sees as `/in/large`.
fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    format!("{}  /in/large\n", line.split(' ').next().unwrap())
}
