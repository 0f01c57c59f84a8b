//! What a user can set wrong besides the keys of `config.yaml`: each says what, where, and what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::host::{Ended, TestHost};
use crate::serving::Serving;

/// A host with this file in the folder of its settings, private unless a mode is given.
fn with_file(name: &str, text: &[u8], mode: u32) -> TestHost {
    let host = TestHost::fresh().with_settings("");
    let file = host.config_file().with_file_name(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    host
}

fn serve(host: &TestHost, more: &[&str]) -> Ended {
    host.run(&[&["serve", "--port", "0"], more].concat())
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    for (name, text, mode, says) in [
        ("config.yaml", &b"\xff\xfe"[..], 0o600, &["config.yaml", "valid UTF-8"][..]),
        (
            "config.yaml",
            b"admin_token: short\n",
            0o600,
            &["`admin_token` is shorter than 32", "take the line out"],
        ),
        ("secrets.yaml", b"secrets: {}\n", 0o644, &["has the mode 644", "`chmod 600` it"]),
        ("secrets.yaml", b"nonsense: 1\n", 0o600, &["secrets.yaml", "1:11: `nonsense` must be"]),
        ("policies.yaml", b"roles: 1\n", 0o600, &["policies.yaml", "1:8: `roles`"]),
        ("prices.yaml", b"nonsense: 1\n", 0o600, &["prices.yaml", "1:1: `nonsense` is not"]),
    ] {
        serve(&with_file(name, text, mode), &[]).exits(70).says(says);
    }
    for name in ["config.yaml", "policies.yaml", "secrets.yaml"] {
        let host = TestHost::fresh().with_settings("");
        let file = host.config_file().with_file_name(name);
        drop(fs::remove_file(&file));
        fs::create_dir(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        serve(&host, &[]).exits(70).says(&[name, "cannot be used", "Is a directory"]);
    }
    let error =
        with_file("config.yaml", b"a: [\n", 0o600).run(&["jobs", "list", "--json"]).exits(70);
    assert!(error.error()["advice"].as_str().unwrap().contains("config validate"));
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind(taken).unwrap();
    let port = taken.port().to_string();
    let host = TestHost::new();
    let ended = host.run(&["serve", "--port", &port]).exits(1);
    ended.says(&[&format!("address {taken}"), "choose another port", "ss -ltnp"]);
    let metrics = [("APFLOW_TELEMETRY_METRICS_ADDRESS", &*taken.to_string())];
    for verb in [&["worker"][..], &["serve", "--port", "0"]] {
        let ended = host.run_with(verb, "", &metrics).exits(1);
        ended.says(&["`telemetry.metrics_address`", "choose another port"]);
    }
    drop(listener);
    serve(&host, &["--host", "203.0.113.7", "--behind-proxy"])
        .exits(1)
        .says(&["203.0.113.7", "`ip address` says which it has"]);
    serve(&host, &["--host", "0.0.0.0"]).exits(2).says(&["--tls-cert", "--behind-proxy"]);
}

#[test]
fn files_of_tls_that_cannot_be_used_are_named() {
    let host = TestHost::new();
    let nonsense = host.data().join("nonsense.pem");
    fs::write(&nonsense, "x").unwrap();
    let nonsense = nonsense.to_str().unwrap();
    for (file, says) in [
        ("/nowhere.pem", &["`/nowhere.pem` cannot be read"][..]),
        (nonsense, &["holds no certificate: expected PEM with"]),
    ] {
        serve(&host, &["--tls-cert", file, "--tls-key", file]).exits(2).says(says);
    }
    serve(&host, &["--tls-cert", nonsense]).exits(2).says(&["--tls-key"]);
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let host = TestHost::fresh();
    fs::write(host.data(), "a file").unwrap();
    let ended = host.run(&["jobs", "list"]).exits(70);
    ended.says(&["error[data-dir-unusable]", host.data().to_str().unwrap()]);
    let ended = host.run(&["--data-dir", "/proc/none", "jobs", "list"]).exits(70);
    ended.says(&["error[data-dir-unusable]", "/proc/none"]);
    let mut homeless = host.command();
    for name in ["HOME", "APFLOW_DATA_DIR", "APFLOW_CONFIG_DIR"] {
        homeless.env_remove(name);
    }
    let output = homeless.args(["jobs", "list"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("set `APFLOW_DATA_DIR` and `APFLOW_CONFIG_DIR`"), "{said}");
}

#[test]
fn a_host_that_runs_here_already_is_named() {
    let host = TestHost::new();
    let _serving = Serving::start(&host);
    serve(&host, &[]).exits(1).says(&["error[host-locked]"]);
    host.run(&["worker"]).exits(1).says(&["error[host-locked]"]);
}

#[test]
fn a_database_that_is_none_is_named_without_its_password() {
    for (url, says) in [
        ("nonsense", &["`DATABASE_URL` is not valid", "names no kind of database"][..]),
        ("mysql://ada:hunter2@db/jobs", &["`DATABASE_URL` is not valid", "write `postgres://"]),
        ("sqlite:///nowhere/at/all.db", &["/nowhere/at/all.db` cannot be opened"]),
        ("postgres://ada:hunter2@127.0.0.1:1/jobs", &["cannot be opened", "Connection refused"]),
    ] {
        let ended = TestHost::fresh().run_with(&["jobs", "list"], "", &[("DATABASE_URL", url)]);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
        ended.exits(70).says(&["error[database-unavailable]"]).says(says);
    }
}

/// A key of the HTTP API, of a role that there is not.
const KEY_OF_NOBODY: &str = "0123456789abcdef0123456789abcdef:nobody";

#[test]
fn variables_that_say_nothing_useful_are_named() {
    let far = ("APFLOW_API_SERVER", "https://localhost:1");
    let (list, serve) = (&["jobs", "list"][..], &["serve", "--port", "0"][..]);
    for (verb, variables, code, says) in [
        (list, &[("APFLOW_API_SERVER", "nonsense")][..], 70, "`APFLOW_API_SERVER` is not valid"),
        (list, &[far, ("APFLOW_API_CA_FILE", "/nowhere.pem")], 70, "/nowhere.pem"),
        (list, &[far, ("APFLOW_API_AUTH_TOKEN", "a\nb")], 70, "`APFLOW_API_AUTH_TOKEN`"),
        (list, &[("OLLAMA_HOST", "::::")], 70, "`OLLAMA_HOST` is not valid"),
        (list, &[("APFLOW_LOG", "=x=")], 2, "is no filter of the log"),
        (serve, &[("APFLOW_API_KEYS", KEY_OF_NOBODY)], 70, "`APFLOW_API_KEYS`"),
        (
            serve,
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense")],
            70,
            "`OTEL_EXPORTER_OTLP_ENDPOINT`",
        ),
        (
            serve,
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "nonsense")],
            70,
            "`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is not valid: `nonsense`",
        ),
        (
            serve,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
            ],
            70,
            "`OTEL_METRIC_EXPORT_INTERVAL` is not valid",
        ),
    ] {
        TestHost::fresh().run_with(verb, "", variables).exits(code).says(&[says]);
    }
}
