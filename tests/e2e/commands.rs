//! Command components, whoever wrote them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;

use crate::guests::{
    BEHAVES, OPENS_A_SOCKET, TALKS_AND_WAITS, cargo, path, plugin_folder, succeed,
};
use crate::host::{TestHost, target_dir};

/// A program of others: it pretty-prints and minimises JSON.
const JSONXF: &str = "jsonxf";
const JSONXF_VERSION: &str = "1.1.1";

#[test]
fn a_command_gets_its_arguments_and_input_and_gives_what_it_wrote() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let input = json!({ "args": ["-v", "two words"], "stdin": "grün\n" }).to_string();
    let output = host.run(&["run", "behaves", "--input", &input]).succeeds().json();
    let expected = json!({
        "stdout": "behaves -v two words read \"grün\\n\"",
        "stderr": "nothing to complain about",
        "exit_code": 0,
    });
    assert_eq!(output, expected);
}

#[test]
fn an_input_can_come_from_a_file_or_from_standard_input() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("input.json");
    fs::write(&file, r#"{ "args": ["from a file"] }"#).unwrap();
    let at = format!("@{}", file.display());
    let output = host.run(&["run", "behaves", "--input", &at]).succeeds().json();
    assert!(output["stdout"].as_str().unwrap().contains("from a file"), "{output}");
    let arguments = ["run", "behaves", "--input", "-"];
    let ended = host.run_with(&arguments, r#"{ "args": ["from stdin"] }"#, &[]).succeeds();
    assert!(ended.stdout.contains("from stdin"), "{}", ended.stdout);
}

#[test]
fn what_a_command_writes_is_shown_while_it_runs() {
    let host = TestHost::new();
    TALKS_AND_WAITS.load(&host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
    let mut run = host.command();
    run.args(["run", TALKS_AND_WAITS.name()]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = run.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut shown: Vec<String> = lines.by_ref().take(3).collect();
    shown.sort();
    assert_eq!(shown, ["  err grün", "  out first line", "  out second "]);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn the_json_of_a_run_is_the_task() {
    let host = TestHost::new();
    BEHAVES.load(&host, "limits: { fuel: 100000000 }");
    let run = || host.run(&["run", "behaves", "--json"]).succeeds().json();
    let task = run();
    assert!(task["id"].as_str().unwrap().starts_with("t_"), "{task:#}");
    assert_eq!(task["state"], "completed");
    assert_eq!(task["executor"], "behaves");
    assert_eq!(task["output"]["exit_code"], 0);
    for used in ["wall_us", "memory_bytes_peak", "fuel", "output_bytes"] {
        assert!(task["usage"][used].as_u64().unwrap() > 0, "{used}: {task:#}");
    }
    assert_eq!(task["usage"]["fuel"], run()["usage"]["fuel"], "fuel is deterministic");
}

#[test]
fn a_command_of_others_runs_as_it_is() {
    let host = TestHost::new();
    let folder = plugin_folder(JSONXF, &jsonxf(), "capabilities: { fs: { in: read } }");
    host.run(&["load", path(&folder)]).succeeds();
    let input = json!({ "args": ["-m"], "stdin": "{ \"a\" : [ 1 , 2 ] }" }).to_string();
    let output = host.run(&["run", JSONXF, "--input", &input]).succeeds().json();
    assert_eq!(output["stdout"].as_str().unwrap().trim(), r#"{"a":[1,2]}"#);
}

#[test]
fn a_command_of_others_reads_the_folder_it_is_granted() {
    let host = TestHost::new();
    let folder = plugin_folder(JSONXF, &jsonxf(), "capabilities: { fs: { in: read } }");
    host.run(&["load", path(&folder)]).succeeds();
    let files = TempDir::new().unwrap();
    fs::write(files.path().join("a.json"), "[ true ]").unwrap();
    let input = json!({ "args": ["-m", "-i", "/in/a.json"] }).to_string();
    let grant = format!("fs.in={}", path(&files));
    let ended = host.run(&["run", JSONXF, "--input", &input, "--grant", &grant]).succeeds();
    assert_eq!(ended.json()["stdout"].as_str().unwrap().trim(), "[true]");
    host.run(&["run", JSONXF, "--input", &input]).exits(3).says(&["--grant fs.in=PATH"]);
}

#[test]
fn a_command_that_imports_more_than_its_manifest_says_is_refused_with_the_list() {
    let host = TestHost::new();
    let folder = plugin_folder(JSONXF, &jsonxf(), "");
    host.run(&["load", path(&folder)]).exits(1).says(&[
        "error[component-refused]: ",
        "it imports more than its manifest asks for:",
        "`wasi:filesystem/types@0.2.",
        "`wasi:filesystem/preopens@0.2.",
        "needs `capabilities: { fs: { in: read } }`",
    ]);
    host.holds_nothing();
}

#[test]
fn a_component_without_a_manifest_is_answered_with_one_that_loads() {
    let host = TestHost::new();
    let folder = TempDir::new().unwrap();
    let component = folder.path().join("jsonxf.wasm");
    fs::write(&component, jsonxf()).unwrap();
    let component = component.to_str().unwrap();
    let ended = host.run(&["load", component]).exits(1).says(&["error[missing-manifest]: "]);
    host.holds_nothing();
    let paragraphs: Vec<&str> = ended.stderr.split("\n\n").collect();
    let manifest = paragraphs[1];
    assert!(manifest.contains("fs: { in: read }"), "{manifest}");
    fs::write(folder.path().join("plugin.yaml"), manifest).unwrap();
    host.run(&["load", component]).succeeds();
    assert_eq!(host.loaded(), [JSONXF]);
}

#[test]
fn a_component_that_imports_sockets_is_refused_unless_its_manifest_asks_for_them() {
    let host = TestHost::new();
    let asks = "capabilities: { clocks: true, random: true, fs: { in: read } }";
    OPENS_A_SOCKET.try_load(&host, asks).exits(1).says(&[
        "error[component-refused]: ",
        "`wasi:sockets/tcp@0.2.",
        "`wasi:sockets/ip-name-lookup@0.2.",
        "needs `capabilities: { sockets: [\"ADDRESS:PORT\"] }`, or better `tcp`",
    ]);
    host.holds_nothing();
}

/// The program of others, built once.
pub(crate) fn jsonxf() -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let target = target_dir().join("plugins");
        let root = target.join("foreign");
        let mut cargo = cargo(&target);
        cargo.args(["install", JSONXF, "--version", JSONXF_VERSION, "--locked", "--root"]);
        succeed(cargo.arg(&root).args(["--target", "wasm32-wasip2"]));
        root.join("bin/jsonxf.wasm")
    });
    fs::read(built).unwrap()
}
