//! Plugins that are refused: a clear error, exit code 1, and nothing stored.

use std::fs;

use tempfile::TempDir;

use crate::guests::{BEHAVES, path, plugin_folder};
use crate::host::{Ended, TestHost, target_dir};

/// A component with nothing in it.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
/// A module of core WebAssembly with nothing in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn bytes_that_are_no_component_are_refused_for_what_they_are() {
    let whole = BEHAVES.component();
    let half = &whole[..whole.len() / 2];
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle..middle + 64].fill(0xff);
    let cases: [(&[u8], &str); 8] = [
        (b"", "it is not WebAssembly"),
        (b"\x7fELF\x02\x01\x01\0", "it is not WebAssembly"),
        (b"#!/bin/sh\necho hello\n", "it is not WebAssembly"),
        (CORE_MODULE, "it is a core WebAssembly module, not a component"),
        (half, "it is not a valid component, or was cut short"),
        (&EMPTY[..6], "it is not a valid component, or was cut short"),
        (&changed, "it is not a valid component, or was cut short"),
        (EMPTY, "it exports neither `apflow:plugin/run@0.1.0` nor `wasi:cli/run`"),
    ];
    let host = TestHost::new();
    for (bytes, text) in cases {
        try_load(&host, bytes).exits(1).says(&["error[component-refused]: ", text]);
    }
    host.holds_nothing();
}

#[test]
fn a_component_of_another_world_is_refused_with_what_it_exports() {
    let host = TestHost::new();
    try_load(&host, &exporting("acme:shop/till@1.0.0"))
        .exits(1)
        .says(&["it exports neither", "it exports `acme:shop/till@1.0.0`"]);
    host.holds_nothing();
}

#[test]
fn a_component_of_another_version_is_refused_with_both_versions() {
    let host = TestHost::new();
    for version in ["0.2.0", "0.1.1", "1.0.0"] {
        let export = format!("apflow:plugin/run@{version}");
        let found = format!("it exports `{export}`");
        try_load(&host, &exporting(&export))
            .exits(1)
            .says(&[found.as_str(), "this host runs `apflow:plugin/run@0.1.0`"]);
    }
    host.holds_nothing();
}

#[test]
fn an_executor_that_does_not_have_its_functions_is_refused() {
    let host = TestHost::new();
    try_load(&host, &exporting("apflow:plugin/run@0.1.0"))
        .exits(1)
        .says(&["error[component-refused]: "]);
    try_load(&host, &exporting("wasi:cli/run@0.2.0"))
        .exits(1)
        .says(&["error[component-refused]: "]);
    host.holds_nothing();
}

#[test]
fn an_executor_that_says_it_is_somebody_else_is_refused() {
    let host = TestHost::new();
    let built = target_dir().join("plugins/wasm32-wasip2/plugin/noop_executor.wasm");
    let component = fs::read(built).unwrap();
    try_load(&host, &component).exits(1).says(&[
        "its `describe` says that the name is `noop_executor`, but its manifest says `odd`",
    ]);
    let folder = plugin_folder("noop_executor", &component, "");
    host.run(&["load", path(&folder)])
        .exits(1)
        .says(&["says that the version is `0.1.0`, but its manifest says `1.0.0`"]);
    host.holds_nothing();
}

#[test]
fn every_fault_of_a_manifest_is_reported_at_once_with_its_place() {
    let manifest = "\
name: Bad Name
version: 1.0
component: ../elsewhere.wasm
capabilities: { devices: true, http: [\"ftp://x\"], fs: { in: read, out: append } }
limits: { memory: 1, timeout: 25h, memmory: 3MiB }
";
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("plugin.yaml"), manifest).unwrap();
    let host = TestHost::new();
    let ended = host.run(&["load", path(&folder), "--json"]).exits(1);
    let error = ended.error();
    assert_eq!(error["code"], "invalid-manifest");
    let faults = error["faults"].as_array().unwrap();
    for (code, place, line, column) in [
        ("missing-field", "description", 1, 1),
        ("invalid-value", "name", 1, 7),
        ("wrong-type", "version", 2, 10),
        ("invalid-value", "component", 3, 12),
        ("unknown-field", "capabilities.devices", 4, 17),
        ("invalid-value", "capabilities.http", 4, 39),
        ("invalid-value", "capabilities.fs.out", 4, 72),
        ("wrong-type", "limits.memory", 5, 19),
        ("invalid-value", "limits.timeout", 5, 31),
        ("unknown-field", "limits.memmory", 5, 36),
    ] {
        let is_it = |fault: &&serde_json::Value| fault["path"] == place && fault["code"] == code;
        let fault = faults.iter().find(is_it);
        let fault = fault.unwrap_or_else(|| panic!("no {code} at {place}: {faults:#?}"));
        assert_eq!((&fault["line"], &fault["column"]), (&line.into(), &column.into()), "{place}");
        assert!(!fault["fix"].as_str().unwrap().is_empty(), "{place} has no fix");
    }
    host.run(&["load", path(&folder)]).exits(1).says(&[
        "error[invalid-manifest]: ",
        "5:36: `limits.memmory`",
        "did you mean `memory`?",
    ]);
    host.holds_nothing();
}

#[test]
fn yaml_that_cannot_be_read_is_refused_with_its_place() {
    let folder = TempDir::new().unwrap();
    let host = TestHost::new();
    for (manifest, line) in [
        ("name: x\nversion: [1\n", 2),
        ("name: x\nversion: 1.0.0\nname: y\n", 3),
        ("name: x\nlicense: \"MIT\n", 3),
        ("", 1),
    ] {
        fs::write(folder.path().join("plugin.yaml"), manifest).unwrap();
        let error = host.run(&["load", path(&folder), "--json"]).exits(1).error();
        assert_eq!(error["code"], "invalid-manifest");
        assert_eq!(error["faults"][0]["line"], line, "{manifest}: {error:#}");
    }
    host.holds_nothing();
}

#[test]
fn a_path_with_nothing_to_load_is_refused() {
    let host = TestHost::new();
    let folder = TempDir::new().unwrap();
    host.run(&["load", path(&folder)])
        .exits(1)
        .says(&["error[missing-manifest]: ", "there is no plugin.yaml and no tool.yaml in "]);
    host.run(&["load", "/no/such/place"]).exits(1).says(&["`/no/such/place` is not there"]);
    host.run(&["load", "rest_executer"]).exits(1).says(&["rest_executer"]);
    let alone = BEHAVES.folder("");
    fs::remove_file(alone.path().join("behaves.wasm")).unwrap();
    host.run(&["load", path(&alone)]).exits(1).says(&["behaves.wasm", "No such file"]);
    host.holds_nothing();
}

#[test]
fn a_name_of_the_host_is_not_given_away() {
    let host = TestHost::new();
    let folder = plugin_folder("rest_executor", &BEHAVES.component(), "");
    host.run(&["load", path(&folder)]).exits(1).says(&["error[builtin-plugin]: "]);
    host.run(&["plugins", "remove", "rest_executor"]).exits(1).says(&["error[builtin-plugin]: "]);
    host.holds_nothing();
}

#[test]
fn a_grant_that_a_plugin_does_not_ask_for_keeps_it_out() {
    let host = TestHost::new();
    let folder = BEHAVES.folder("capabilities: { env: [LANG] }");
    for grant in ["env=PATH", "fs.in=/tmp", "http=https://*"] {
        host.run(&["load", path(&folder), "--grant", grant]).exits(3).says(&[
            "error[grant-not-asked]: ",
            &format!("grant `{grant}` allows something that `behaves` does not ask for"),
            "env",
        ]);
    }
    host.holds_nothing();
}

#[test]
fn a_refused_plugin_leaves_the_one_of_its_name_in_place() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let folder = plugin_folder("behaves", CORE_MODULE, "");
    host.run(&["load", path(&folder)]).exits(1);
    host.run(&["run", "behaves"]).succeeds();
}

#[test]
fn a_removed_plugin_is_gone() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    host.run(&["plugins", "show", "behaves"]).succeeds();
    host.run(&["plugins", "remove", "behaves"]).succeeds();
    host.holds_nothing();
    host.run(&["plugins", "show", "behaves"]).exits(1).says(&["error[unknown-plugin]: "]);
    host.run(&["run", "behaves"]).exits(1).says(&["error[unknown-executor]: "]);
}

fn try_load(host: &TestHost, bytes: &[u8]) -> Ended {
    host.run(&["load", path(&plugin_folder("odd", bytes, ""))])
}

/// A component that exports an instance of this name with nothing in it.
///
/// By the binary format of the component model: one instance of no exports, then its export.
fn exporting(name: &str) -> Vec<u8> {
    let section =
        |id: u8, content: &[u8]| [&[id, u8::try_from(content.len()).unwrap()], content].concat();
    let instance = [1, 1, 0];
    let length = u8::try_from(name.len()).unwrap();
    let export = [&[1, 0, length], name.as_bytes(), &[5, 0, 0]].concat();
    [EMPTY, &section(5, &instance), &section(11, &export)].concat()
}
