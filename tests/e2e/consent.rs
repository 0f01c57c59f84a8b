//! What the operator consents to: the lock, upgrades, and what a task keeps of its grants.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{BEHAVES, READS_UNGRANTED_VARIABLES, path, plugin_folder};
use crate::host::{Ended, TestHost};
use crate::server::{Reply, Server};
use crate::serving::Serving;

const NAME: &str = "reads_ungranted_variables";

#[test]
fn the_lock_says_what_was_asked_and_granted_and_is_private() {
    let host = TestHost::new();
    load(&host, "{ env: [LANG, TZ] }", &["--grant", "env=LANG"]).succeeds();
    let lock = fs::read_to_string(lock(&host)).unwrap();
    let shown = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    let sha256 = shown["digest"].as_str().unwrap();
    let entry = format!(
        "  - name: \"{NAME}\"\n    version: \"1.0.0\"\n    sha256: \"{sha256}\"\n    asks:\n      \
         - \"env LANG\"\n      - \"env TZ\"\n    grants:\n      - \"env=LANG\"\n"
    );
    assert!(lock.contains(&entry), "{lock}");
    assert!(lock.contains("- name: \"rest_executor\""), "{lock}");
    let mode = fs::metadata(self::lock(&host)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(shown["grants"], json!(["env=LANG"]));
    let table = host.run(&["plugins", "show", NAME]).succeeds().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split("  ").collect()).collect();
    let row = |what: &str| rows.iter().find(|row| row[0] == what).unwrap().last().unwrap().trim();
    assert_eq!((row("env LANG"), row("env TZ")), ("env=LANG", "not granted"));
}

#[test]
fn a_grant_that_is_taken_out_of_the_lock_is_gone_at_once() {
    let host = TestHost::new();
    load(&host, "{ env: [HOME] }", &["--yes"]).succeeds();
    let serving = Serving::start(&host);
    let read = || {
        let job = serving.submit("?wait=30", &json!({ "executor": NAME })).is(200).json();
        job["tasks"][0].clone()
    };
    assert!(read()["output"]["stdout"].as_str().unwrap().starts_with("HOME="));
    edit(&host, "      - \"env=HOME\"\n", "");
    assert_eq!(read()["output"]["stdout"], "");
    edit(&host, "sha256", "sha265");
    let fault = read()["fault"].clone();
    assert_eq!(fault["code"], "capability-denied");
    let message = fault["message"].as_str().unwrap();
    for words in
        ["nothing is granted while `grants.lock` is not valid", "`plugins.0.sha256` is missing"]
    {
        assert!(message.contains(words), "{message}");
    }
    let listed = serving.get("/api/v1/plugins").is(200).json();
    assert_eq!(listed["lock_faults"][0]["code"], "missing-field", "{listed:#}");
}

#[test]
fn a_lock_with_a_fault_allows_nothing_and_says_where_it_is() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    load(&host, "{ env: [LANG] }", &["--yes"]).succeeds();
    edit(&host, "env=LANG", "env");
    read(&host, &[]).exits(3).says(&["error[capability-denied]: ", "grant `env`"]);
    let listed = host.run(&["plugins", "list"]).succeeds();
    assert!(!listed.stdout.contains("env=LANG"), "{}", listed.stdout);
    listed.says(&["`grants.lock` is not valid, so no plugin is granted anything"]);
    let error = load(&host, "{ env: [LANG] }", &["--json"]).exits(1).error();
    let lock = fs::read_to_string(lock(&host)).unwrap();
    let line = 1 + lock.lines().position(|line| line.trim() == "- \"env\"").unwrap();
    assert_eq!(error["code"], "invalid-lock");
    assert_eq!(error["faults"][0]["line"], line, "{lock}");
    // Who needs no grant is not held up.
    host.run(&["run", "behaves"]).succeeds();
    edit(&host, "\"env\"", "\"env=LANG\"");
    read(&host, &[]).succeeds();
}

#[test]
fn a_component_that_the_lock_does_not_know_has_no_grants() {
    let host = TestHost::new();
    load(&host, "{ env: [LANG] }", &["--yes"]).succeeds();
    let shown = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    edit(&host, shown["digest"].as_str().unwrap(), &"0".repeat(64));
    let task = read(&host, &["--json"]).succeeds().json();
    assert_eq!(task["output"]["stdout"], "");
}

#[test]
fn an_upgrade_that_asks_for_no_more_keeps_its_grants() {
    let host = TestHost::new();
    load(&host, "{ env: [LANG, TZ] }", &["--yes"]).succeeds();
    upgrade(&host, "{ env: [LANG] }", &[]).succeeds();
    let shown = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    assert_eq!(shown["grants"], json!(["env=LANG"]));
    let lock = fs::read_to_string(lock(&host)).unwrap();
    assert_eq!(lock.matches(NAME).count(), 1, "only the component that is installed: {lock}");
}

#[test]
fn an_upgrade_that_asks_for_more_needs_consent_and_shows_the_difference() {
    let host = TestHost::new();
    load(&host, "{ env: [LANG, TZ] }", &["--grant", "env=LANG"]).succeeds();
    let before = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    let asks = "{ env: [LANG, HOME], clocks: true }";
    let folder = upgraded(asks);
    let command = format!("apflow-host load {} --yes\n", path(&folder));
    host.run(&["load", path(&folder)]).exits(3).says(&[
        "error[consent-needed]: `reads_ungranted_variables` asks for more than its version 1.0.0",
        "\n  - env TZ\n  + env HOME\n  + clocks\n",
        command.as_str(),
        "--grant env=LANG --grant env=HOME",
        "`apflow-host explain consent-needed` says more",
    ]);
    let still = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    assert_eq!(still, before, "it stays as it was");
    assert_eq!(fs::read_dir(host.data().join("plugins")).unwrap().count(), 1);
    upgrade(&host, asks, &["--grant", "env=HOME"]).succeeds();
    let now = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    assert_eq!(now["grants"], json!(["env=HOME"]));
    upgrade(&host, "{ env: [LANG, HOME, TZ], clocks: true }", &["--grant", "none"]).succeeds();
}

#[test]
fn a_reviewed_lock_installs_its_component_and_no_other() {
    let reviewed = TestHost::new();
    load(&reviewed, "{ env: [LANG] }", &["--yes"]).succeeds();
    let file = lock(&reviewed);
    let locked = ["--locked", file.to_str().unwrap()];
    let host = TestHost::new();
    upgrade(&host, "{ env: [LANG] }", &locked)
        .exits(3)
        .says(&["error[consent-needed]: ", "sha256"]);
    load(&host, "{ env: [LANG, TZ] }", &locked)
        .exits(3)
        .says(&["it asks for something else than was reviewed:\n  + env TZ"]);
    host.holds_nothing();
    load(&host, "{ env: [LANG] }", &locked).succeeds();
    read(&host, &[]).succeeds().says(&[] as &[&str]);
    let shown = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    assert_eq!(shown["grants"], json!(["env=LANG"]));
    load(&host, "{}", &["--locked", "/no/such/lock"]).exits(1);
    let both = [locked[0], locked[1], "--yes"];
    load(&host, "{ env: [LANG] }", &both).exits(2);
}

#[test]
fn what_is_loud_is_said_by_name_and_warned_of() {
    let host = TestHost::new();
    let asks = "{ secret_values: [pin], env: [LANG] }";
    let loaded = load(&host, asks, &["--yes"]).succeeds();
    assert!(loaded.stdout.contains("not granted; the plugin holds the value"), "{}", loaded.stdout);
    let shown = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    assert_eq!(shown["grants"], json!(["env=LANG"]));
    load(&host, asks, &["--grant", "secret-value=pin"])
        .succeeds()
        .says(&["warning: `secret-value=pin`: the plugin holds the value of the secret"]);
}

#[test]
fn a_removed_plugin_leaves_no_consent_behind() {
    let host = TestHost::new();
    load(&host, "{ env: [LANG] }", &["--yes"]).succeeds();
    host.run(&["plugins", "remove", NAME]).succeeds();
    assert!(!fs::read_to_string(lock(&host)).unwrap().contains(NAME));
    load(&host, "{ env: [LANG] }", &[]).succeeds();
    let shown = host.run(&["plugins", "show", NAME, "--json"]).succeeds().json();
    assert_eq!(shown["grants"], json!([]));
}

#[test]
fn a_task_can_give_up_grants_and_never_add_one() {
    let server = Server::start(|_| Reply::status(204));
    let host = TestHost::new();
    let grant = format!("http={}", server.origin());
    host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    let input = json!({ "url": server.url("/") }).to_string();
    let run =
        |more: &[&str]| host.run(&[&["run", "rest_executor", "--input", &input], more].concat());
    run(&["--allow", &grant]).succeeds();
    let words = format!("the task gave it up; add `{grant}` to its `allow`");
    for kept in ["none", "http=https://other.example"] {
        run(&["--allow", kept]).exits(3).says(&["error[capability-denied]: ", &words]);
    }
    host.run(&["load", "rest_executor", "--grant", "none"]).succeeds();
    run(&["--allow", &grant]).exits(3).says(&[format!("allow it with `--grant {grant}`")]);
    assert_eq!(server.hits().len(), 1);
}

#[test]
fn a_caller_over_http_can_narrow_too_and_a_fault_has_its_place() {
    let host = TestHost::new();
    load(&host, "{ env: [HOME] }", &["--yes"]).succeeds();
    let serving = Serving::start(&host);
    let task = |allow: Value| json!({ "executor": NAME, "allow": allow });
    let job = serving.submit("?wait=30", &task(json!(["env=HOME"]))).is(200).json();
    assert!(job["tasks"][0]["output"]["stdout"].as_str().unwrap().starts_with("HOME="));
    assert_eq!(job["tasks"][0]["allow"], json!(["env=HOME"]));
    let job = serving.submit("?wait=30", &task(json!([]))).is(200).json();
    assert_eq!(job["tasks"][0]["output"]["stdout"], "");
    let forest = json!({ "tasks": [task(json!(["env=HOME", "LANG"]))] });
    let problem = serving.submit("", &forest).problem(422, "invalid-job");
    assert_eq!(problem["pointer"], "/tasks/0/allow/1");
}

fn lock(host: &TestHost) -> PathBuf {
    host.data().join("grants.lock")
}

/// Edits the lock as an operator does.
fn edit(host: &TestHost, from: &str, to: &str) {
    let text = fs::read_to_string(lock(host)).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(lock(host), text.replace(from, to)).unwrap();
}

fn load(host: &TestHost, asks: &str, more: &[&str]) -> Ended {
    let folder = READS_UNGRANTED_VARIABLES.folder(&format!("capabilities: {asks}"));
    host.run(&[&["load", path(&folder)], more].concat())
}

fn upgrade(host: &TestHost, asks: &str, more: &[&str]) -> Ended {
    let folder = upgraded(asks);
    host.run(&[&["load", path(&folder)], more].concat())
}

/// The same program as another component: with one more custom section, which says nothing.
fn upgraded(asks: &str) -> TempDir {
    let component = [&READS_UNGRANTED_VARIABLES.component()[..], &[0, 3, 1, b'x', 0]].concat();
    plugin_folder(NAME, &component, &format!("capabilities: {asks}"))
}

fn read(host: &TestHost, more: &[&str]) -> Ended {
    let arguments = [&["run", NAME], more].concat();
    host.run_with(&arguments, "", &[("LANG", "C.UTF-8")])
}
