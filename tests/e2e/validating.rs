//! `validate`, on manifests that are in use elsewhere.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::host::{Ended, TestHost};

/// Real tool manifests, of another project.
const TOOLS: &str = "tests/data/tool_manifests";

fn validate(arguments: &[&str]) -> Ended {
    TestHost::fresh().run(&[&["validate"], arguments].concat())
}

/// Fails unless standard output has each of these texts.
#[track_caller]
fn prints(ended: &Ended, texts: &[&str]) {
    for text in texts {
        assert!(ended.stdout.contains(text), "{text:?} is not in:\n{}", ended.stdout);
    }
}

/// The names of the tools of which this is true.
fn named(report: &Value, is: impl Fn(&Value) -> bool) -> Vec<String> {
    let files = report["files"].as_array().unwrap().iter().filter(|file| is(file));
    files
        .map(|file| file["path"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn real_manifests_are_valid_but_for_one_with_its_place_and_fix() {
    let report = validate(&[TOOLS, "--format", "json"]).exits(1).json();
    assert_eq!(report["files"].as_array().unwrap().len(), 20);
    assert_eq!(named(&report, |file| file["valid"] == false), ["jukebox"]);
    let jukebox = report["files"].as_array().unwrap().iter().find(|file| file["valid"] == false);
    let fault = json!({
        "line": 12, "column": 22, "path": "apis.0.health_endpoint", "code": "wrong-type",
        "message": "is nothing, but must be a text", "fix": "write a text, or delete the line",
    });
    assert_eq!(jukebox.unwrap()["faults"], json!([fault]));
    let in_circle = |file: &Value| file["warnings"][0]["code"] == "fallback-circle";
    assert_eq!(named(&report, in_circle), ["geo", "ipinfo"]);
    assert_eq!(named(&report, |file| file["runnable"] == true), [""; 0]);
}

#[test]
fn what_is_odd_is_a_fault_when_it_is_strict() {
    let geo = format!("{TOOLS}/geo");
    prints(&validate(&[&geo]).succeeds(), &["1 of 1 valid"]);
    let both = [geo.as_str(), &format!("{TOOLS}/ipinfo/tool.yaml")];
    prints(&validate(&both).succeeds(), &["geo → ipinfo → geo", "2 of 2 valid", "2 warnings"]);
    let strict = validate(&[&both[..], &["--strict"]].concat()).exits(1);
    prints(&strict, &["0 of 2 valid"]);
}

#[test]
fn a_fault_is_shown_in_its_line() {
    let jukebox = format!("{TOOLS}/juke*/tool.yaml");
    let place = "tests/data/tool_manifests/jukebox/tool.yaml:12:22";
    let marked = "12 |     health_endpoint: null\n   |                      ^";
    prints(&validate(&[&jukebox]).exits(1), &["error[wrong-type]", place, marked]);
    let annotation = "::error file=tests/data/tool_manifests/jukebox/tool.yaml,line=12,col=22,";
    prints(&validate(&[&jukebox, "--format", "github"]).exits(1), &[annotation]);
    let sarif = validate(&[&jukebox, "--format", "sarif"]).exits(1).json();
    let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(*region, json!({ "startLine": 12, "startColumn": 22 }));
}

#[test]
fn paths_without_manifests_are_refused() {
    validate(&["docs"]).exits(1).says(&["there is no plugin.yaml and no tool.yaml in docs"]);
    validate(&["nowhere"]).exits(1).says(&["nowhere"]);
    validate(&["tools/[*"]).exits(2).says(&["tools/[*"]);
    validate(&[]).exits(2);
}

#[test]
fn the_plugins_of_this_project_are_valid() {
    let report = validate(&["plugins", "--json"]).succeeds().json();
    assert_eq!(named(&report, |file| file["runnable"] != true), [""; 0]);
}

/// A command that draws random numbers.
const COMMAND: &str = r#"(component
  (import "wasi:random/random@0.2.0"
    (instance (export "get-random-u64" (func (result u64)))))
  (core module $main (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))"#;

/// A folder with a plugin: its manifest has these lines too, and its component these bytes.
fn plugin(lines: &str, component: Option<&[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let top = "name: own\nversion: 1.0.0\ndescription: Own.\ncomponent: own.wasm\n";
    fs::write(folder.path().join("plugin.yaml"), format!("{top}{lines}")).unwrap();
    if let Some(bytes) = component {
        fs::write(folder.path().join("own.wasm"), bytes).unwrap();
    }
    folder
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[test]
fn a_component_that_imports_more_than_its_manifest_asks_for_is_a_fault_at_its_line() {
    let component = wat::parse_str(COMMAND).unwrap();
    let less = plugin("capabilities:\n  clocks: true\n", Some(&component));
    let refused = validate(&[path(&less)]).exits(1);
    let fix = "fix: add `random: true` below `capabilities`";
    prints(&refused, &["error[excess-import]", "plugin.yaml:5:1", "wasi:random/random@0.2.0", fix]);
    let enough = plugin("capabilities: { random: true }\n", Some(&component));
    let report = validate(&[path(&enough), "--json"]).succeeds().json();
    let found = &report["files"][0]["component"];
    assert_eq!(found["world"], "command");
    let import = json!({ "interface": "wasi:random/random@0.2.0", "family": "random" });
    assert_eq!(found["imports"], json!([import]));
    assert_eq!(found["bytes"], component.len());
}

#[test]
fn a_component_that_does_not_run_here_is_a_fault_and_one_that_is_missing_is_odd() {
    let text = plugin("", Some(b"no wasm"));
    prints(
        &validate(&[path(&text)]).exits(1),
        &["error[component-refused]", ":4:1", "not WebAssembly"],
    );
    let missing = plugin("", None);
    prints(
        &validate(&[path(&missing)]).succeeds(),
        &["warning[missing-component]", "1 of 1 valid"],
    );
    validate(&[path(&missing), "--strict"]).exits(1);
}

#[test]
fn a_component_is_checked_by_itself() {
    let folder = plugin("", Some(&wat::parse_str(COMMAND).unwrap()));
    let file = folder.path().join("own.wasm");
    let said = validate(&[file.to_str().unwrap()]).succeeds();
    prints(&said, &["component: command", "imports wasi:random/random@0.2.0", "1 of 1 valid"]);
    fs::write(&file, "no wasm").unwrap();
    validate(&[file.to_str().unwrap()]).exits(1);
}

#[test]
fn a_version_that_asks_for_more_fails_in_every_format_unless_it_may() {
    let old = plugin("capabilities:\n  http: [\"https://a.example\"]\n", None);
    let new = plugin("capabilities:\n  http: [\"https://*\"]\nlimits: { memory: 32MiB }\n", None);
    let against = [path(&new), "--against", path(&old)];
    let told = validate(&against).exits(1);
    prints(
        &told,
        &[
            "error[capability-widened]: `capabilities.http` asks for `http https://*` instead of",
            "plugin.yaml:6:3",
            "note[limit-lowered]: `limits.memory` is 32MiB, was 64MiB",
            "2 changes, 1 of them ask for more",
        ],
    );
    let allowed = validate(&[&against[..], &["--allow-more"]].concat()).succeeds();
    prints(&allowed, &["note[capability-widened]"]);
    let github = validate(&[&against[..], &["--format", "github"]].concat()).exits(1);
    prints(&github, &["::error file=", "title=capability-widened", "::notice file="]);
    let sarif = validate(&[&against[..], &["--format", "sarif"]].concat()).exits(1).json();
    let levels: Vec<_> = sarif["runs"][0]["results"].as_array().unwrap().iter().collect();
    let levels: Vec<_> = levels.iter().map(|result| &result["level"]).collect();
    assert_eq!(levels, ["warning", "error", "note"]);
    let report = validate(&[&against[..], &["--json"]].concat()).exits(1).json();
    let change = &report["files"][0]["changes"][0];
    assert_eq!(
        (&change["code"], &change["asks_more"]),
        (&json!("capability-widened"), &json!(true))
    );
    validate(&[path(&old), "--against", path(&old)]).succeeds();
    validate(&[path(&old), "--allow-more"]).exits(2);
}

#[test]
fn a_file_that_is_no_text_is_a_fault_with_its_place() {
    let folder = plugin("", None);
    fs::write(folder.path().join("plugin.yaml"), b"name: a\nversion: \xff\n").unwrap();
    prints(&validate(&[path(&folder)]).exits(1), &["error[invalid-utf8]", "plugin.yaml:2:10"]);
}

#[test]
fn the_schemas_are_printed() {
    let schema = TestHost::fresh().run(&["schema", "plugin"]).succeeds().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["limits"]["properties"]["memory"]["default"], "64MiB");
    TestHost::fresh().run(&["schema", "job"]).exits(2);
}
