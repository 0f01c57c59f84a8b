//! `validate`, on manifests that are in use elsewhere.

use serde_json::{Value, json};

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
