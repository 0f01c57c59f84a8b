//! `doctor` before a server: what is found there, what here, and what is said of the way between.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::Serving;

/// A machine whose verbs go to this server, with this token.
fn client(url: &str, token: &str) -> TestHost {
    let token = if token.is_empty() { String::new() } else { format!("api_token: {token}\n") };
    TestHost::fresh().with_settings(&format!("api_server_url: {url}\napi_retry_count: 0\n{token}"))
}

/// What was found, each with its place.
fn findings(told: &Value) -> Vec<(&str, &str)> {
    let all = told["findings"].as_array().unwrap().iter();
    all.map(|one| (one["check"].as_str().unwrap(), one["place"].as_str().unwrap())).collect()
}

#[test]
fn a_server_examines_itself_and_this_machine_is_examined_here() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let far = client(&serving.url(), serving.token());
    let told = far.run(&["doctor", "--json"]).succeeds().json();
    assert_eq!((&told["healthy"], &told["unexamined"]), (&json!(true), &Value::Null));
    assert_eq!(told["data_dir"], host.data().to_str().unwrap(), "that of the server");
    assert_eq!(told["server"], serving.url());
    let checks = told["checks"].as_array().unwrap();
    for check in ["job-state", "plugin-altered", "server-clock", "server-token", "file-permissions"]
    {
        assert!(checks.contains(&json!(check)), "{check} is not in {checks:?}");
    }
    assert!(!checks.contains(&json!("open-files-limit")), "no task runs here");
    assert!(!far.data().join("apflow.db").exists(), "nothing is made here");

    host.run(&["run", "transform_executor", "--input", r#"{"filter": "1"}"#]).succeeds();
    host.spoil(&["UPDATE job SET event_count = 99"]);
    fs::set_permissions(far.config_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let told = far.run(&["doctor", "--json"]).exits(1).json();
    assert_eq!(findings(&told), [("event-count", "server"), ("file-permissions", "machine")]);
    let text = far.run(&["doctor"]).exits(1).stdout;
    assert!(text.contains("event-count of the server: 1: j_"), "{text}");
    assert!(text.contains("file-permissions of the machine: 1: "), "{text}");
    fs::set_permissions(far.config_file(), fs::Permissions::from_mode(0o600)).unwrap();
    let text = far.run(&["doctor", "--repair"]).succeeds().stdout;
    assert!(text.starts_with("repaired event-count: "), "{text}");
}

#[test]
fn a_token_that_ends_within_a_week_is_found_while_it_is_good() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let made = |days: &str| {
        let words =
            ["tokens", "create", "far", "--role", "admin", "--expires-days", days, "--json"];
        host.run(&words).succeeds().json()["token"].as_str().unwrap().to_owned()
    };
    let signed = |days: &str| {
        let words = ["config", "gen-token", "--role", "admin", "--expiry", days];
        host.run(&words).succeeds().stdout.trim().to_owned()
    };
    for token in [made("8"), signed("8"), serving.token().to_owned()] {
        client(&serving.url(), &token).run(&["doctor"]).succeeds();
    }
    for token in [made("6"), signed("6")] {
        let far = client(&serving.url(), &token);
        let told = far.run(&["doctor", "--json"]).exits(1).json();
        assert_eq!(findings(&told), [("server-token-ends", "machine")]);
        let text = far.run(&["doctor"]).exits(1).stdout;
        assert!(text.contains("server-token-ends of the machine: 1: it ends at 20"), "{text}");
        assert!(text.contains("apflow-host tokens create"), "{text}");
    }
}

#[test]
fn a_server_on_the_data_directory_is_no_other_host() {
    let host = TestHost::new();
    let _serving = Serving::start(&host);
    let told = host.run(&["doctor", "--json"]).succeeds().json();
    assert_eq!((&told["server"], &told["healthy"]), (&Value::Null, &json!(true)));
    let checks = told["checks"].as_array().unwrap();
    let both = ["server-unreachable", "open-files-limit", "job-state"].map(|check| json!(check));
    assert!(both.iter().all(|check| checks.contains(check)), "{checks:?}");
}

#[test]
fn what_is_wrong_with_the_way_to_a_server_is_found_with_what_to_do() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, token, found, says) in [
        (serving.url(), "wrong-token", "server-token", "APFLOW_API_AUTH_TOKEN"),
        (format!("http://{closed}"), "", "server-unreachable", "see that `apflow-host serve` runs"),
    ] {
        let far = client(&url, token);
        let told = far.run(&["doctor", "--json"]).exits(1).json();
        assert_eq!(findings(&told), [(found, "machine")]);
        assert_eq!((&told["figures"], &told["healthy"]), (&Value::Null, &json!(false)));
        assert!(told["unexamined"].is_string(), "{told}");
        let text = far.run(&["doctor"]).exits(1).stdout;
        assert!(text.contains(says) && text.contains("not examined: "), "{text}");
    }
    // A token may be good, and not for this.
    let made = host.run(&["tokens", "create", "reader", "--role", "readonly", "--json"]).succeeds();
    let far = client(&serving.url(), made.json()["token"].as_str().unwrap());
    let told = far.run(&["doctor", "--json"]).exits(1).json();
    assert_eq!(findings(&told), []);
    assert!(told["unexamined"].as_str().unwrap().contains("host-manage"), "{told}");
    let text = far.run(&["doctor"]).exits(1).stdout;
    assert!(text.contains("of this machine all is well"), "{text}");
}
