//! Secrets: used by a guest that does its best to leak them, and found nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::guests::{LEAKS_SECRETS, READS_UNGRANTED_VARIABLES};
use crate::host::{Ended, TestHost};
use crate::server::{Hit, Reply, Server};

/// The value of every secret here. It has what JSON, URLs and Base64 write in other ways.
pub(crate) const VALUE: &str = "s3cr3t/Value+with\"quotes\" & 100%";
const ASKS: &str = "capabilities: { http: [\"http://127.0.0.1:*\"], secrets: [api_key, other_key], \
                    secret_values: [held_key] }";

#[test]
fn a_placeholder_is_filled_in_where_it_belongs_and_the_value_comes_back_as_placeholder() {
    let server = echo();
    let host = host(&server);
    let task = leak(&host, "tell api_key", &server, &["secret=api_key"]).succeeds().json();
    let hit = server.hits().remove(0);
    let escaped = "s3cr3t%2FValue%2Bwith%22quotes%22%20%26%20100%25";
    assert_eq!(hit.path, format!("/bot{escaped}/x?key={escaped}"));
    assert_eq!(hit.headers["x-key"], format!("key={VALUE};"));
    assert_eq!(hit.headers["authorization"], format!("Basic {}", base64(&format!("me:{VALUE}"))));
    assert_eq!(hit.headers["accept-encoding"], "identity");
    assert_eq!(serde_json::from_slice::<Value>(&hit.body).unwrap(), json!({ "key": VALUE }));
    let output = task["output"].as_str().unwrap();
    let placeholder = output.split(' ').next().unwrap();
    assert!(placeholder.starts_with("apflow-secret-") && placeholder.len() == 46, "{output}");
    let basic = base64(&format!("me:{placeholder}"));
    for back in [format!("key={placeholder};"), format!("/bot{placeholder}/x"), basic] {
        assert!(output.contains(&back), "{back} is not in:\n{output}");
    }
}

#[test]
fn a_body_of_unknown_length_is_filled_in_while_it_passes() {
    let server = echo();
    let host = host(&server);
    let task = leak(&host, "chunked api_key", &server, &["secret=api_key"]).succeeds().json();
    let hit = server.hits().remove(0);
    assert_eq!(hit.headers["transfer-encoding"], "chunked");
    assert_eq!(serde_json::from_slice::<Value>(&hit.body).unwrap(), json!({ "key": VALUE }));
    let output = task["output"].as_str().unwrap();
    assert!(output.contains("{\"key\":\"apflow-secret-"), "{output}");
}

#[test]
fn a_secret_is_found_nowhere_in_what_is_kept_or_shown() {
    let server = echo();
    let host = host(&server);
    let grants = ["secret=api_key", "secret-value=held_key"];
    for name in ["api_key", "held_key"] {
        for deed in ["tell", "fault", "panic"] {
            let ended = leak(&host, &format!("{deed} {name}"), &server, &grants);
            is_clean("standard output", ended.stdout.as_bytes());
            is_clean("standard error", ended.stderr.as_bytes());
        }
    }
    let told: Vec<_> = server.hits().iter().filter(|hit| is_told(hit)).cloned().collect();
    assert_eq!(told.len(), 6, "the server was told each time");
    for job in host.jobs() {
        let shown = host.run(&["jobs", "show", job["id"].as_str().unwrap(), "--json"]).succeeds();
        is_clean("the job", shown.stdout.as_bytes());
    }
    let listed = host.run(&["secrets", "list", "--json"]).succeeds();
    is_clean("the list of secrets", listed.stdout.as_bytes());
    assert!(walk(&host.data()) > 5, "files were looked through");
}

#[test]
fn what_is_kept_of_a_held_value_names_the_secret() {
    let server = echo();
    let host = host(&server);
    let grants = ["secret-value=held_key"];
    let task = leak(&host, "tell held_key", &server, &grants).succeeds().json();
    let output = task["output"].as_str().unwrap();
    assert!(output.starts_with("[secret held_key] [secret held_key]"), "{output}");
    let task = leak(&host, "fault held_key", &server, &grants).exits(1).json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert_eq!(task["fault"]["code"], "permanent", "{message}");
    assert!(message.starts_with("[secret held_key] "), "{message}");
}

#[test]
fn a_placeholder_on_its_way_to_another_server_stops_the_request() {
    let (server, other) = (echo(), echo());
    let host = host(&server);
    let grants = ["secret=api_key"];
    let task = leak(&host, "fault api_key", &other, &grants).exits(3).json();
    assert_eq!(task["fault"]["code"], "capability-denied", "{task:#}");
    let message = task["fault"]["message"].as_str().unwrap();
    let expected = format!(
        "the secret `api_key` was not sent to {}: it belongs to `{}`;",
        other.origin(),
        server.origin()
    );
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(other.hits().len(), 0, "not even the placeholder was sent");
    let task = leak(&host, "body api_key", &other, &grants).succeeds().json();
    assert!(task["output"].as_str().unwrap().contains("not sent: "), "{task:#}");
    for hit in other.hits() {
        let body = String::from_utf8_lossy(&hit.body).into_owned();
        assert!(!body.contains("apflow-secret-") && !body.contains("s3cr3t"), "{body}");
    }
}

#[test]
fn a_secret_must_be_asked_for_and_granted() {
    let server = echo();
    let host = host(&server);
    let said = |words: &str, grants: &[&str]| {
        let task = leak(&host, words, &server, grants).exits(3).json();
        task["fault"]["message"].as_str().unwrap().to_owned()
    };
    let text = said("tell api_key", &[]);
    assert!(text.ends_with("allow it with `--grant secret=api_key`"), "{text}");
    let text = said("tell held_key", &["secret=api_key"]);
    assert!(text.ends_with("allow it with `--grant secret-value=held_key`"), "{text}");
    let text = said("tell foreign_key", &["secret=api_key"]);
    assert!(text.contains("does not ask for it under `capabilities.secrets`"), "{text}");
    leak(&host, "tell api_key", &server, &["secret=foreign_key"])
        .exits(3)
        .says(&["\"grant-not-asked\""]);
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_secret_that_cannot_be_read_says_why_and_nothing_is_sent() {
    let server = echo();
    let host = host(&server);
    let grants = ["secret=other_key"];
    let task = leak(&host, "tell other_key", &server, &grants).succeeds().json();
    let output = task["output"].as_str().unwrap();
    assert!(
        output.contains("the secret `other_key` cannot be read: the file `/nowhere/"),
        "{output}"
    );
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_command_finds_its_secrets_in_the_environment() {
    let server = echo();
    let host = host(&server);
    let asks = "capabilities: { env: [THE_KEY], secrets: [api_key], secret_values: [held_key] }";
    READS_UNGRANTED_VARIABLES.load(&host, asks);
    let run = |grants: &[&str]| {
        let ended = run(&host, READS_UNGRANTED_VARIABLES.name(), "{}", grants).succeeds();
        ended.json()["output"]["stdout"].as_str().unwrap().to_owned()
    };
    assert_eq!(run(&["env=THE_KEY"]), "", "the variable of a secret is no variable any more");
    let stdout = run(&["secret=api_key", "secret-value=held_key"]);
    assert!(stdout.starts_with("api_key=apflow-secret-"), "{stdout}");
    assert!(stdout.ends_with("held_key=[secret held_key]\n"), "{stdout}");
}

#[test]
fn a_value_that_changes_is_used_without_a_restart() {
    let server = echo();
    let host = host(&server);
    leak(&host, "tell api_key", &server, &["secret=api_key"]).succeeds();
    let key = host.config_file().with_file_name("key");
    fs::write(key, "another value of this key\n").unwrap();
    leak(&host, "tell api_key", &server, &["secret=api_key"]).succeeds();
    assert_eq!(server.hits()[1].headers["x-key"], "key=another value of this key;");
}

#[test]
fn secrets_are_listed_without_their_values() {
    let server = echo();
    let host = host(&server);
    let listed = host.run_with(&["secrets", "list"], "", &[("THE_KEY", VALUE)]).succeeds();
    for text in ["api_key", "file", &server.origin(), "held_key", "env", "/nowhere/"] {
        assert!(listed.stdout.contains(text), "{text} is not in:\n{}", listed.stdout);
    }
    is_clean("the list", listed.stdout.as_bytes());
}

#[test]
fn a_loud_grant_is_warned_of() {
    let host = host(&echo());
    let folder = LEAKS_SECRETS.folder(ASKS);
    let path = folder.path().to_str().unwrap();
    let loaded = host.run(&["load", path, "--grant", "secret-value=held_key"]).succeeds();
    loaded.says(&["warning: `secret-value=held_key`: the plugin holds the value"]);
}

#[test]
fn a_file_of_secrets_with_faults_or_open_to_others_is_refused() {
    let host = host(&echo());
    let file = host.config_file().with_file_name("secrets.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    host.run(&["secrets", "list"]).exits(70).says(&["has the mode 644", "`chmod 600` it"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, format!("api_key: {VALUE:?}\n")).unwrap();
    let refused = host.run(&["plugins", "list"]).exits(70).says(&["1:10: `api_key` must be keys"]);
    is_clean("standard error", refused.stderr.as_bytes());
}

/// A server that says all that it was told.
fn echo() -> Server {
    Server::start(|hit| {
        let start = format!("{} {}\n", hit.method, hit.path);
        let lines = hit.headers.iter();
        let head = lines.fold(start, |head, (name, value)| format!("{head}{name}: {value}\n"));
        let text = head + &String::from_utf8_lossy(&hit.body);
        let own = hit.headers.get("x-key").cloned().unwrap_or_default();
        Reply::text(200, text).with("X-Echo", own)
    })
}

/// A host with secrets that belong to this server, and the guest that leaks them.
fn host(server: &Server) -> TestHost {
    let host = TestHost::new();
    let config = host.config_file();
    let folder = config.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("key"), format!("{VALUE}\n")).unwrap();
    let (key, origin) = (folder.join("key").display().to_string(), server.origin());
    let text = format!(
        "api_key: {{ from: {{ file: {key} }}, http: [\"{origin}\"] }}\n\
         held_key: {{ from: {{ env: THE_KEY }}, http: [\"{origin}\"] }}\n\
         other_key: {{ from: {{ file: /nowhere/key }}, http: [\"{origin}\"] }}\n\
         foreign_key: {{ from: {{ file: {key} }}, http: [\"{origin}\"] }}\n"
    );
    let file = folder.join("secrets.yaml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    LEAKS_SECRETS.load(&host, ASKS);
    host
}

/// Lets the guest do a deed with a secret at this server, with these grants.
fn leak(host: &TestHost, words: &str, server: &Server, grants: &[&str]) -> Ended {
    let input = json!({ "do": format!("{words} 127.0.0.1:{}", server.port()) }).to_string();
    let http = format!("http={}", server.origin());
    run(host, LEAKS_SECRETS.name(), &input, &[grants, &[&http]].concat())
}

/// Runs a task with these grants, and with a log that says all.
fn run(host: &TestHost, executor: &str, input: &str, grants: &[&str]) -> Ended {
    let mut arguments = vec!["run", executor, "--json", "--input", input];
    for grant in grants {
        arguments.extend(["--grant", grant]);
    }
    host.run_with(&arguments, "", &[("THE_KEY", VALUE), ("APFLOW_LOG", "trace")])
}

fn is_told(hit: &Hit) -> bool {
    hit.headers.get("x-key").is_some_and(|key| key.contains(VALUE))
}

/// Looks through every file below a folder, and says how many there were.
pub(crate) fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| {
        if path.is_dir() {
            return walk(&path);
        }
        is_clean(&path.display().to_string(), &fs::read(&path).unwrap());
        1
    };
    entries.map(count).sum()
}

/// Fails when the value, or a part of it that could be told apart, is in these bytes in any of the
/// usual encodings.
#[track_caller]
pub(crate) fn is_clean(place: &str, bytes: &[u8]) {
    let hex = |text: &str| text.bytes().fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
    let part = &VALUE[..12];
    let mut forms = vec![part.to_owned(), hex(part), hex(part).to_uppercase()];
    forms.push("s3cr3t%2F".to_owned());
    forms.push("s3cr3t%2f".to_owned());
    for before in ["", "x", "xx"] {
        let encoded = base64(&format!("{before}{VALUE}"));
        forms.push(encoded[4..16].to_owned());
    }
    for form in forms {
        let found = bytes.windows(form.len()).position(|window| window == form.as_bytes());
        let around = found.map(|at| &bytes[at.saturating_sub(60)..(at + 80).min(bytes.len())]);
        let around = around.map(String::from_utf8_lossy);
        assert!(around.is_none(), "`{form}` is in {place}: {around:?}");
    }
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for piece in text.as_bytes().chunks(3) {
        let at = |index: usize| piece.get(index).map_or(0, |byte| usize::from(*byte));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let character = char::from(ALPHABET[(bits >> (18 - 6 * place)) & 63]);
            encoded.push(if place <= piece.len() { character } else { '=' });
        }
    }
    encoded
}
