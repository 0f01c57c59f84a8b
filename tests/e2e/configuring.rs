//! The settings of a real host: shown with where they come from, changed in place, and refused with
//! what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::host::TestHost;

const FILE: &str = "\
# The operator's file.
attempts_max: 32 # a small machine
http:
  # Long jobs.
  drain_seconds: 60
";

/// What `config list --json` says of one setting.
fn listed(host: &TestHost, key: &str, environment: &[(&str, &str)]) -> Value {
    let listed = host.run_with(&["config", "list", "--json"], "", environment).succeeds().json();
    let settings = listed["settings"].as_array().unwrap();
    settings.iter().find(|setting| setting["key"] == key).unwrap().clone()
}

fn mode(host: &TestHost) -> u32 {
    fs::metadata(host.config_file()).unwrap().permissions().mode() & 0o777
}

#[test]
fn each_setting_says_where_it_comes_from() {
    let host = TestHost::fresh().with_settings(FILE);
    let of = |key: &str, environment: &[(&str, &str)]| {
        let shown = listed(&host, key, environment);
        (shown["value"].clone(), shown["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("lease_seconds", &[]), (json!(15), "default".to_owned()));
    assert_eq!(of("attempts_max", &[]), (json!(32), "config.yaml".to_owned()));
    let environment = [("APFLOW_ATTEMPTS_MAX", "7"), ("APFLOW_LOG", "debug")];
    assert_eq!(of("attempts_max", &environment), (json!(7), "APFLOW_ATTEMPTS_MAX".to_owned()));
    assert_eq!(of("telemetry.log", &environment), (json!("debug"), "APFLOW_LOG".to_owned()));
    let typed = ["--log", "error", "config", "explain", "telemetry.log", "--json"];
    let explained = host.run_with(&typed, "", &[]).succeeds().json();
    assert_eq!(explained["layers"][0], json!({ "from": "--log", "value": "error" }));
    let explained = host.run_with(&["config", "explain", "attempts_max"], "", &environment);
    let text = explained.succeeds().stdout;
    for part in ["a whole number from 1 to 1024", "APFLOW_ATTEMPTS_MAX  7", "config.yaml", "128"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let got = host.run(&["config", "get", "http.drain_seconds"]).succeeds().stdout;
    assert_eq!(got, "60\n");
    let section = host.run(&["config", "explain", "http"]).succeeds().stdout;
    assert!(section.contains("  http.drain_seconds"), "{section}");
}

#[test]
fn one_setting_changes_and_the_rest_of_the_file_stays() {
    let host = TestHost::fresh().with_settings(FILE);
    host.run(&["config", "set", "http.drain_seconds", "5"]).succeeds();
    let text = || fs::read_to_string(host.config_file()).unwrap();
    assert_eq!(text(), FILE.replace("seconds: 60", "seconds: 5"));
    assert_eq!(mode(&host), 0o600);
    host.run(&["config", "set", "http.hosts", "a.example,b.example"]).succeeds();
    host.run(&["config", "set", "audit.days", "never"]).succeeds();
    assert!(text().contains("  hosts: [a.example, b.example]\n"), "{}", text());
    host.run(&["config", "unset", "http"]).succeeds();
    host.run(&["config", "unset", "audit.days"]).succeeds();
    assert_eq!(text(), "# The operator's file.\nattempts_max: 32 # a small machine\n");
    host.run(&["config", "unset", "audit.days"]).exits(1).says(&["`audit.days` is not set"]);
    let set =
        host.run_with(&["config", "set", "attempts_max", "8"], "", &[("APFLOW_ATTEMPTS_MAX", "7")]);
    set.succeeds().says(&["the variable `APFLOW_ATTEMPTS_MAX` counts more"]);
}

#[test]
fn a_file_is_made_for_its_owner_alone() {
    let host = TestHost::fresh();
    let secret = "s3cret".repeat(8);
    host.run_with(&["config", "set", "admin_token", "-"], &format!("{secret}\n"), &[]).succeeds();
    assert_eq!(mode(&host), 0o600);
    assert!(fs::read_to_string(host.config_file()).unwrap().contains(&secret));
    for arguments in [
        &["config", "list"][..],
        &["config", "list", "--json"],
        &["config", "get", "admin_token"],
        &["config", "explain", "admin_token"],
    ] {
        let shown = host.run(arguments).succeeds();
        assert!(!shown.stdout.contains("s3cret") && shown.stdout.contains("sha256"), "{shown:?}");
    }
    let shown = host.run(&["config", "get", "admin_token", "--show-secret"]).succeeds();
    assert_eq!(shown.stdout.trim(), secret);
}

#[test]
fn what_is_not_valid_is_refused_and_nothing_is_written() {
    let host = TestHost::fresh().with_settings(FILE);
    for (key, value, code, says) in [
        ("atempts_max", "3", 1, "did you mean `attempts_max`?"),
        ("drain_seconds", "3", 1, "did you mean `http.drain_seconds`?"),
        ("attempts_max", "0", 2, "must be a whole number from 1 to 1024"),
        ("audit.reads", "perhaps", 2, "`true` or `false`"),
        ("telemetry.log_format", "xml", 2, "`text` or `json`"),
        ("http.origins", "*", 70, "is no origin"),
        ("http", "8000", 2, "a section with"),
    ] {
        host.run(&["config", "set", key, value]).exits(code).says(&[says]);
        assert_eq!(fs::read_to_string(host.config_file()).unwrap(), FILE);
    }
}

/// A `config.yaml`, and what is said about it.
const FAULTY: [(&str, &[&str]); 9] = [
    (
        "atempts_max: 3\n",
        &["1:1: `atempts_max` is not a known field; did you mean `attempts_max`?"],
    ),
    (
        "http: { idle: 1 }\naudit: { reads: maybe }\n",
        &["1:9: `http.idle` is not a known field", "2:17: `audit.reads` is `maybe`, but must be"],
    ),
    ("lease_seconds: 2\n", &["1:16: `lease_seconds` is `2`", "from 3 to 300"]),
    ("telemetry: { metrics: everyone }\n", &["`open`, `token` or `off`"]),
    ("concurrency: { executors: { a: 0 } }\n", &["from 1 to 1000000"]),
    ("http: { origins: ['*'] }\n", &["is no origin: expected one like"]),
    ("http: { tls: { certificate: a.pem } }\n", &["`http.tls.key` is missing"]),
    ("auth: { jwt_secrets: [short] }\n", &["a secret of 5 bytes: expected 32"]),
    ("a: [\n", &["correct the YAML"]),
];

#[test]
fn every_fault_of_the_file_says_where_it_is_and_what_to_do() {
    for (text, says) in FAULTY {
        let host = TestHost::fresh().with_settings(text);
        let ended = host.run(&["config", "validate"]).exits(70);
        ended.says(&["config.yaml"]).says(says);
        // No verb works by settings that are not valid.
        host.run(&["jobs", "list"]).exits(70).says(says);
    }
    let host = TestHost::fresh().with_settings(FILE);
    let ended = host.run(&["config", "validate"]).succeeds();
    assert!(ended.stdout.starts_with("the settings are valid: "), "{ended:?}");
}

#[test]
fn what_is_reset_is_as_usual_and_what_was_set_is_kept() {
    let host = TestHost::fresh().with_settings(FILE);
    let kept = host.config_file().with_extension("yaml.bak");
    host.run(&["config", "set", "attempts_max", "9"]).succeeds();
    let one = host.run(&["config", "reset", "attempts_max"]).succeeds();
    assert!(one.stdout.starts_with("reset `attempts_max` in "), "{one:?}");
    host.run(&["config", "reset", "attempts_max"]).succeeds();
    assert_eq!(host.run(&["config", "get", "attempts_max"]).succeeds().stdout, "128\n");
    host.run(&["config", "reset", "atempts_max"]).exits(1).says(&["did you mean `attempts_max`?"]);
    let before = fs::read_to_string(host.config_file()).unwrap();
    let all = host.run(&["config", "reset", "--json"]).succeeds().json();
    assert_eq!(all["kept_as"], kept.to_str().unwrap());
    assert_eq!(fs::read_to_string(&kept).unwrap(), before);
    assert!(!host.config_file().exists());
    assert_eq!(host.run(&["config", "reset", "--json"]).succeeds().json()["kept_as"], Value::Null);
    // What is kept is not written over.
    host.run(&["config", "set", "attempts_max", "9"]).succeeds();
    host.run(&["config", "reset"]).exits(70).says(&["config.yaml.bak", "move it away"]);
    assert_eq!(fs::read_to_string(&kept).unwrap(), before);
    assert!(host.config_file().exists());
}

#[test]
fn a_faulty_variable_is_named() {
    let host = TestHost::fresh();
    for (name, value, says) in [
        ("APFLOW_ATTEMPTS_MAX", "many", "a whole number from 1 to 1024"),
        ("APFLOW_HTTP_ORIGINS", "*", "is no origin"),
        ("APFLOW_JWT_SECRET", "short", "a secret of 5 bytes"),
        ("APFLOW_API_KEYS", "short", "entry 1: expected KEY:ROLE"),
    ] {
        let ended = host.run_with(&["jobs", "list"], "", &[(name, value)]).exits(70);
        ended.says(&[&format!("`{name}` is not valid"), says]);
    }
    let listed = host.run_with(&["config", "list"], "", &[("APFLOW_ATTEMPT_MAX", "3")]).succeeds();
    listed.says(&["`APFLOW_ATTEMPT_MAX` says nothing; did you mean `APFLOW_ATTEMPTS_MAX`?"]);
}

#[test]
fn settings_of_an_older_form_are_taken_over_once() {
    let host = TestHost::fresh().with_settings("");
    fs::remove_file(host.config_file()).unwrap();
    let folder = host.config_file().parent().unwrap().to_owned();
    let secret = "j".repeat(40);
    fs::write(folder.join("config.json"), r#"{"log_level": "ERROR", "colour": "red"}"#).unwrap();
    fs::write(folder.join("secrets.json"), format!(r#"{{"jwt_secret": "{secret}"}}"#)).unwrap();
    let first = host.run(&["config", "list"]).succeeds();
    first.says(&["settings of an older form", "left_out=\"colour\""]);
    assert_eq!(mode(&host), 0o600);
    assert_eq!(host.run(&["config", "get", "telemetry.log"]).succeeds().stdout, "error\n");
    let made = host.run(&["config", "gen-token", "--role", "agent"]).succeeds().stdout;
    host.run_with(&["config", "verify-token"], &made, &[]).succeeds();
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json.bak", "config.yaml", "secrets.json.bak"]);
    assert_eq!(host.run(&["config", "list"]).succeeds().stderr, "", "it is told once");
}

#[test]
fn the_places_are_told_with_the_modes_of_the_files() {
    let host = TestHost::fresh().with_settings(FILE);
    let told = host.run(&["config", "path", "--json"]).succeeds().json();
    assert_eq!(told["data_dir"], host.data().to_str().unwrap());
    assert_eq!(told["files"][0]["path"], host.config_file().to_str().unwrap());
    assert_eq!(
        (&told["files"][0]["exists"], &told["files"][2]["exists"]),
        (&json!(true), &json!(false))
    );
    let told = host.run(&["config", "path"]).succeeds().stdout;
    assert!(told.contains("secrets.yaml") && told.contains("not there"), "{told}");
}

#[test]
fn the_guide_has_every_setting() {
    let guide = fs::read_to_string(crate::host::project().join("docs/guide/config.md")).unwrap();
    let listed = TestHost::fresh().run(&["config", "list", "--json"]).succeeds().json();
    let keys: Vec<_> = listed["settings"].as_array().unwrap().iter().collect();
    let keys: Vec<_> = keys.iter().map(|setting| setting["key"].as_str().unwrap()).collect();
    for key in &keys {
        assert!(guide.contains(&format!("`{key}`")), "docs/guide/config.md has no `{key}`");
    }
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    for (key, _) in rows.filter(|(key, _)| key.contains('.')) {
        let is_known =
            keys.iter().any(|known| known == &key || known.starts_with(&format!("{key}.")));
        assert!(is_known, "docs/guide/config.md has `{key}`, and the host has not");
    }
}
