//! A plugin of one's own, from the template to its output.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{BEHAVES, USES_FILES, path, succeed, with_cargo};
use crate::host::{TestHost, project, target_dir};

#[test]
fn a_new_plugin_builds_loads_and_says_hello() {
    let host = TestHost::new();
    let folder = TempDir::new().unwrap();
    let sdk = project().join("sdk");
    let mut new = host.command();
    new.current_dir(&folder).args(["plugin", "new", "hello", "--sdk"]).arg(&sdk);
    succeed(&mut new);
    let package = folder.path().join("hello");
    // Its dependencies are built once, and in the versions that are tested.
    let kept = target_dir().join("plugins/new");
    symlink(&kept, package.join("target")).unwrap();
    fs::copy(project().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let plugin = |arguments: &[&str]| {
        let mut command = host.command();
        command.arg("plugin").args(arguments).arg(&package).arg("--json");
        with_cargo(&mut command, &kept);
        let output = command.output().unwrap();
        let (said, told) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
        (output.status.code(), serde_json::from_slice::<Value>(&said).unwrap_or_default(), told)
    };
    let (code, built, told) = plugin(&["build", "--release"]);
    assert_eq!(
        (code, &built["name"], &built["world"]),
        (Some(0), &json!("hello"), &json!("executor")),
        "{told}"
    );
    assert!(built["bytes"].as_u64().unwrap() > 10_000, "{built}");
    let (code, tested, told) = plugin(&["test", "--release"]);
    assert_eq!((code, &tested["has_own_tests"]), (Some(0), &json!(true)), "{told}");
    let examples = tested["examples"].as_array().unwrap();
    assert!(examples.len() == 2 && examples.iter().all(|one| one["passed"] == true), "{tested}");
    // A manifest that asks for what the code does not need is odd; one that asks for less is no plugin.
    let manifest = fs::read_to_string(package.join("plugin.yaml")).unwrap();
    fs::write(package.join("plugin.yaml"), manifest.replace("hello.wasm", "other.wasm")).unwrap();
    let (code, _, told) = plugin(&["build", "--release"]);
    assert!(
        code == Some(1)
            && told.contains("names the component `other.wasm`, but cargo built hello.wasm"),
        "{told}"
    );
    fs::write(package.join("plugin.yaml"), manifest).unwrap();
    let source = fs::read_to_string(package.join("src/lib.rs")).unwrap();
    fs::write(package.join("src/lib.rs"), source.replace("Hello, Ada!", "Bye, Ada!")).unwrap();
    let (code, _, told) = plugin(&["test", "--release"]);
    assert!(code == Some(1) && told.contains("its own tests fail"), "{told}");
    fs::write(package.join("src/lib.rs"), "fn").unwrap();
    let (code, _, told) = plugin(&["build", "--release"]);
    assert!(code == Some(1) && told.contains("cargo says above why"), "{told}");
    fs::write(package.join("src/lib.rs"), source).unwrap();
    host.run(&["load", package.to_str().unwrap()]).succeeds();
    let output = host.run(&["run", "hello", "--input", r#"{"name": "Ada"}"#]).succeeds();
    assert_eq!(output.json(), serde_json::json!({ "greeting": "Hello, Ada!" }));
    output.says(&["greeting Ada"]);
    let empty = r#"{"name": ""}"#;
    host.run(&["run", "hello", "--input", empty]).exits(1).says(&["error[invalid-input]: "]);
    host.run(&["run", "hello"]).exits(1).says(&["error[invalid-input]: /inputs", "name"]);
}

#[test]
fn a_new_plugin_is_written_over_nothing_and_needs_a_name() {
    let host = TestHost::fresh();
    let folder = TempDir::new().unwrap();
    let new = |name: &str| {
        let mut command = host.command();
        command.current_dir(&folder).args(["plugin", "new", name]).output().unwrap().status.code()
    };
    assert_eq!(new("hello-world"), Some(0));
    assert_eq!(new("hello-world"), Some(1));
    for name in ["Hello", "../hello", "1st", ""] {
        assert_eq!(new(name), Some(2), "{name:?}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn examples_that_come_to_something_else_are_told_with_the_place() {
    let host = TestHost::fresh();
    let folder = USES_FILES.folder("capabilities: { fs: { in: read } }");
    fs::create_dir(folder.path().join("texts")).unwrap();
    fs::write(folder.path().join("texts/a.txt"), "found").unwrap();
    let test = |examples: &str, code| {
        fs::write(folder.path().join("examples.yaml"), examples).unwrap();
        let tested = host.run(&["plugin", "test", path(&folder), "--json"]).exits(code);
        serde_json::from_str::<Value>(&tested.stdout).map_err(|_| tested.stderr)
    };
    let reads = "inputs: { args: [read, /in/a.txt] }, output: { stdout: \"read /in/a.txt: found\\n\", \
                 stderr: \"\", exit_code: 0 }";
    let fails = "inputs: { args: [fail] }";
    let examples = format!(
        "examples:\n\
         - {{ name: reads, {reads}, grants: [fs.in=texts] }}\n\
         - {{ name: fails, {fails}, fault: permanent }}\n\
         - {{ name: is not granted, {reads} }}\n\
         - {{ name: other fault, {fails}, fault: trapped }}\n\
         - {{ name: other input, inputs: {{ argv: [] }}, fault: invalid-input }}\n"
    );
    let report = test(&examples, 1).unwrap();
    let passed: Vec<_> =
        report["examples"].as_array().unwrap().iter().map(|one| &one["passed"]).collect();
    assert_eq!(passed, [true, true, false, false, true], "{report:#}");
    let differences = &report["examples"][2]["differences"];
    assert!(differences[0].as_str().unwrap().starts_with("/stdout: expected "), "{report:#}");
    let fault = report["examples"][3]["differences"][0].as_str().unwrap();
    assert!(fault.starts_with("expected the fault trapped, found permanent: "), "{fault}");
    let told = host.run(&["plugin", "test", path(&folder)]).exits(1).stdout;
    assert!(
        told.contains("\nis not granted\n  /stdout: ") && told.contains("3 of 5 examples passed"),
        "{told}"
    );
    let wrong = test("examples:\n- { name: a, input: 1 }\n", 2).unwrap_err();
    assert!(
        wrong.contains("examples.yaml is not valid") && wrong.contains("unknown field `input`"),
        "{wrong}"
    );
    host.holds_nothing();
}

#[test]
fn a_plugin_that_cannot_be_built_says_what_to_do() {
    let host = TestHost::fresh();
    let empty = TempDir::new().unwrap();
    host.run(&["plugin", "build", path(&empty)]).exits(1).says(&["apflow-host plugin new NAME"]);
    let other = BEHAVES.folder("");
    let told = host.run(&["plugin", "build", path(&other)]).exits(1);
    told.says(&["there is no Cargo.toml", "apflow-host validate"]);
    fs::write(other.path().join("Cargo.toml"), "").unwrap();
    // The host's environment has no PATH here.
    host.run(&["plugin", "build", path(&other)]).exits(1).says(&["https://rustup.rs"]);
    fs::write(other.path().join("plugin.yaml"), "name: x\n").unwrap();
    let told = host.run(&["plugin", "build", path(&other)]).exits(1);
    assert!(told.stdout.contains("`version` is missing"), "{told:?}");
}
