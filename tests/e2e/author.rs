//! A plugin of one's own, from the template to its output.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::guests::{cargo, succeed};
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
    let mut build = cargo(&kept);
    build.current_dir(&package).args(["build", "--release", "--target", "wasm32-wasip2"]);
    succeed(&mut build);
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
