//! `rest_executor` in a host: what it sends, what becomes of the answer, and what is sent again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::host::{Ended, TestHost};
use crate::server::{Reply, Server};
use crate::serving::Serving;

#[test]
fn connections_are_kept_from_task_to_task() {
    let server = Server::start_lasting(|_| Reply::json(&json!({ "items": [1, 2] })));
    let host = TestHost::new();
    host.run(&["load", "rest_executor", "--grant", &grant(&server)]).succeeds();
    let serving = Serving::start(&host);
    for n in 0..5 {
        let input = json!({ "url": server.url(&format!("/{n}")), "method": "POST", "json": n });
        let job = json!({ "executor": "rest_executor", "inputs": input });
        let job = serving.submit("?wait=30", &job).is(200).json();
        assert_eq!(job["tasks"][0]["output"]["json"], json!({ "items": [1, 2] }), "{job:#}");
        assert_eq!(job["tasks"][0]["usage"]["http_requests"], 1);
    }
    assert_eq!((server.hits().len(), server.connections()), (5, 1));
}

#[test]
fn each_kind_of_body_reaches_the_server() {
    let server = Server::start(|hit| Reply::text(200, hit.body.clone()));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("report.csv"), "a,b\n1,2\n").unwrap();
    let files = format!("fs.in={}", folder.path().display());
    let host = TestHost::new();
    let sent = |word: &str, body: Value| {
        let input = json!({ "url": server.url("/"), "method": "PUT", word: body });
        let task = request(&host, &input, &[&grant(&server), &files]).succeeds().json();
        task["output"]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(sent("json", json!({ "a": [1] })), r#"{"a":[1]}"#);
    assert_eq!(sent("form", json!({ "a": "b c", "n": [1, 2] })), "a=b+c&n=1&n=2");
    assert_eq!(sent("body", json!("ü")), "ü");
    assert_eq!(sent("base64", json!("aGVsbG8=")), "hello");
    assert_eq!(sent("file", json!("report.csv")), "a,b\n1,2\n");
    fs::write(folder.path().join("large.txt"), "x".repeat(15 << 20)).unwrap();
    let large = json!({ "url": server.url("/"), "method": "PUT", "file": "large.txt",
                        "max_bytes": 16 << 20 });
    let task = request(&host, &large, &[&grant(&server), &files]).succeeds().json();
    assert_eq!(task["usage"]["http_body_bytes"], 30 << 20, "{}", task["fault"]);
    let parts = sent("multipart", json!([{ "name": "table", "file": "/in/report.csv" }]));
    assert!(parts.contains("name=\"table\"; filename=\"report.csv\""), "{parts}");
    assert!(parts.contains("\r\n\r\na,b\n1,2\n\r\n--"), "{parts}");
    let missing = json!({ "url": server.url("/"), "method": "PUT", "file": "other.csv" });
    says(&request(&host, &missing, &[&grant(&server), &files]).exits(1), "/in/other.csv");
}

#[test]
fn an_answer_becomes_a_file_that_is_larger_than_a_body_may_be() {
    let body = vec![b'x'; 40 << 20];
    let server = Server::start(move |_| Reply::text(200, body.clone()));
    let host = TestHost::new();
    let url = server.url("/");
    says(&request(&host, &json!({ "url": url }), &[&grant(&server)]).exits(1), "`max_bytes`");
    let input = json!({ "url": url, "save_as": "below/large.txt" });
    let task = request(&host, &input, &[&grant(&server)]).succeeds().json();
    let file = &task["output"]["file"];
    assert_eq!((&file["path"], &file["bytes"]), (&json!("below/large.txt"), &json!(40 << 20)));
    let listed = host.run(&["jobs", "files", task["job_id"].as_str().unwrap(), "--json"]);
    let listed = listed.succeeds().json();
    assert_eq!(listed["files"][0]["name"], "below/large.txt", "{listed:#}");
    assert_eq!(listed["files"][0]["size"], 40 << 20);
}

#[test]
fn a_task_names_its_secrets_and_the_host_fills_them_in() {
    let server = Server::start(|_| Reply::status(204));
    let host = TestHost::new();
    let folder = host.config_file().parent().unwrap().to_owned();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key"), "s3cr3t&value").unwrap();
    let (key, file) = (folder.join("key"), folder.join("secrets.yaml"));
    let origin = server.origin();
    let rule = format!("key: {{ from: {{ file: {} }}, http: [\"{origin}\"] }}\n", key.display());
    fs::write(&file, rule).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = json!({ "secret": "key" });
    let ask = |auth: Value, grants: &[&str]| {
        request(&host, &json!({ "url": server.url("/?a=1"), "auth": auth }), grants)
    };
    let (http, granted) = (grant(&server), "secret=key");
    let bearer = json!({ "bearer": secret });
    says(&ask(bearer.clone(), &[&http]).exits(3), "--grant secret=key");
    assert_eq!(server.hits().len(), 0);
    ask(bearer, &[&http, granted]).succeeds();
    ask(json!({ "basic": { "username": "me", "password": secret } }), &[&http, granted]).succeeds();
    let in_query = json!({ "api_key": { "name": "key", "value": secret, "in": "query" } });
    let task = ask(in_query, &[&http, granted]).succeeds().json();
    assert_eq!(task["output"]["url"], server.url("/?a=1"));
    let in_header = json!({ "api_key": { "name": "X-Key", "value": secret } });
    ask(in_header, &[&http, granted]).succeeds();
    let hits = server.hits();
    assert_eq!(hits[0].headers["authorization"], "Bearer s3cr3t&value");
    assert_eq!(hits[1].headers["authorization"], "Basic bWU6czNjcjN0JnZhbHVl");
    assert_eq!(hits[2].path, "/?a=1&key=s3cr3t%26value");
    assert_eq!(hits[3].headers["x-key"], "s3cr3t&value");
}

#[test]
fn a_certificate_is_left_unverified_by_a_grant_alone() {
    let server = Server::start(|_| Reply::status(204));
    let host = TestHost::new();
    let origin = format!("127.0.0.1:{}", server.port());
    let input = json!({ "url": format!("https://{origin}/"), "verify_tls": false });
    let granted = format!("http=https://{origin}");
    let wanted = format!("--grant http=https+insecure://{origin}");
    says(&request(&host, &input, &[&granted]).exits(3), &wanted);
    assert_eq!(server.connections(), 0);
    let loud = format!("http=https+insecure://{origin}");
    let loaded = host.run(&["load", "rest_executor", "--grant", &loud]).succeeds();
    loaded.says(&["the certificate of the server is not verified"]);
    // It gets as far as TLS, which this server does not speak.
    let task = request(&host, &input, &[]).exits(1).json();
    assert_eq!(task["fault"]["code"], "retryable", "{task:#}");
    assert!(server.connections() > 0);
}

#[test]
fn pages_that_were_read_are_not_read_again() {
    let failures = AtomicU32::new(1);
    // Large enough that three of them are over the size of a checkpoint.
    let item = "x".repeat(500_000);
    let server = Server::start_lasting(move |hit| {
        let number: u32 = hit.path.rsplit('=').next().unwrap().parse().unwrap();
        if number == 2 && failures.swap(0, Ordering::SeqCst) > 0 {
            return Reply::status(503).with("Retry-After", "0");
        }
        let items = if number < 5 { json!([number, item]) } else { json!([]) };
        Reply::json(&json!({ "data": items }))
    });
    let host = TestHost::new();
    let next = json!({ "page": { "parameter": "page" } });
    let input = json!({ "url": server.url("/items"),
                        "paginate": { "next": next, "items": "/data" } });
    let backoff = json!({ "strategy": "fixed", "base_seconds": 0, "max_seconds": 0 });
    let task = json!([{ "executor": "rest_executor", "inputs": input,
                        "max_attempts": 2, "backoff": backoff }]);
    let tasks = task.to_string();
    let job = host.run(&["run", "batch", "--json", "--tasks", &tasks, "--grant", &grant(&server)]);
    let job = job.succeeds().json();
    let output = &job["tasks"][0]["output"];
    let numbers = output["json"].as_array().unwrap().iter().filter(|item| item.is_number());
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((&output["pages"], &output["truncated"]), (&json!(5), &json!(false)));
    let asked: Vec<String> = server.hits().into_iter().map(|hit| hit.path).collect();
    let expected = [1, 2, 2, 3, 4, 5].map(|page| format!("/items?page={page}"));
    assert_eq!(asked, expected);
}

#[test]
fn what_may_take_effect_twice_is_sent_once() {
    let server = Server::start(|_| Reply::text(503, "busy").with("Retry-After", "0"));
    let host = TestHost::new();
    let input = json!({ "url": server.url("/"), "method": "POST", "idempotency_key": false });
    says(&request(&host, &input, &[&grant(&server)]).exits(1), "may take effect twice");
    assert_eq!(server.hits().len(), 1);
}

/// Fails unless the fault of the task says this.
#[track_caller]
fn says(ended: &Ended, text: &str) {
    let task = ended.json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains(text), "{text} is not in: {message}");
}

fn grant(server: &Server) -> String {
    format!("http={}", server.origin())
}

/// Runs one request with these grants.
fn request(host: &TestHost, input: &Value, grants: &[&str]) -> Ended {
    let input = input.to_string();
    let mut arguments = vec!["run", "rest_executor", "--json", "--input", &input];
    for grant in grants {
        arguments.extend(["--grant", grant]);
    }
    host.run(&arguments)
}
