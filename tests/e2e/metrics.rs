//! The page of metrics, and what the host says to whoever watches over it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

fn transform() -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": "1" } })
}

fn page(serving: &Serving<'_>) -> String {
    let answer = serving.ask("GET /metrics", None, b"").is(200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// The value of a sample, with its labels.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no `{sample}` in:\n{page}")).parse().unwrap()
}

#[test]
fn a_page_shows_what_the_host_did_and_what_there_is() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let done = serving.submit("?wait=30", &transform()).is(200).json();
        serving
            .submit("?wait=30", &json!({ "executor": "no_such_executor" }))
            .problem(422, "unknown-executor");
        let failing =
            json!({ "executor": "transform_executor", "inputs": { "filter": "error(1)" } });
        let failed = serving.submit("?wait=30", &failing).is(200).json();
        assert_eq!(failed["state"], "failed", "{failed:#}");
        let page = page(&serving);
        for (sample, least) in [
            ("apflow_tasks_ended_total{end=\"completed\"}", 1.0),
            ("apflow_tasks_ended_total{end=\"failed\"}", 1.0),
            ("apflow_tasks{state=\"completed\"}", 1.0),
            ("apflow_attempts_started_total{executor=\"transform_executor\"}", 2.0),
            ("apflow_attempts_ended_total{executor=\"transform_executor\",fault=\"none\"}", 1.0),
            ("apflow_attempt_seconds_count{executor=\"transform_executor\"}", 2.0),
            ("apflow_queue_wait_seconds_count", 2.0),
            ("apflow_submit_seconds_count", 2.0),
            ("apflow_sandbox_start_seconds_count", 2.0),
            ("apflow_commit_seconds_count", 3.0),
            ("apflow_commit_writes_sum", 3.0),
            ("apflow_plugins{kind=\"executor\"}", 1.0),
            ("apflow_plugins{kind=\"tool\"}", 1.0),
            ("apflow_database_bytes", 4096.0),
            ("apflow_http_request_seconds_count{operation=\"jobs.submit\",status=\"422\"}", 1.0),
            ("apflow_http_request_seconds_count{operation=\"jobs.submit\",status=\"200\"}", 2.0),
            ("process_cpu_seconds_total", 0.0),
            ("process_resident_memory_bytes", 1e6),
        ] {
            assert!(value(&page, sample) >= least, "{sample}:\n{page}");
        }
        for none in ["apflow_tasks{state=\"ready\"}", "apflow_oldest_task_seconds{state=\"ready\"}"]
        {
            assert!(value(&page, none) < f64::EPSILON, "{none}:\n{page}");
        }
        let id = done["id"].as_str().unwrap();
        assert!(
            !page.contains(id) && !page.contains("\"admin\""),
            "single jobs or callers:\n{page}"
        );
        check(&page);
    }
}

/// Every family says what it is before its samples, once, and no sample comes twice.
fn check(page: &str) {
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(families.insert(name), "`{name}` comes twice");
            assert!(help.ends_with('.'), "{line}");
            family = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (sample, number) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(family), "{line} is no {family}");
            assert!(number.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(sample), "`{sample}` comes twice");
        }
    }
    assert!(families.len() > 30, "{families:?}");
    promtool(page);
}

/// What Prometheus itself says of the page, where its tool is installed.
fn promtool(page: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    // Where it is not installed, the test says less.
    let Ok(mut tool) = command.spawn() else { return };
    tool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    assert!(tool.wait().unwrap().success());
}

#[test]
fn who_asks_for_openmetrics_gets_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let asking =
        format!("{}\r\nAccept: application/openmetrics-text; version=1.0.0", serving.token());
    let answer = serving.ask("GET /metrics", Some(&asking), b"").is(200);
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("# TYPE apflow_tasks_ended counter\n"), "{text}");
}

#[test]
fn the_operator_says_who_may_read_the_page() {
    let host = TestHost::new().with_settings("telemetry: { metrics: token }\n");
    let serving = Serving::start(&host);
    serving.ask("GET /metrics", None, b"").problem(401, "unauthorized");
    serving.get("/metrics").is(200);
    assert_eq!(serving.stop(), Some(0));
    let host = TestHost::new().with_settings("telemetry: { metrics: off }\n");
    let serving = Serving::start(&host);
    serving.get("/metrics").problem(404, "unknown-route");
    let host = TestHost::new().with_settings("telemetry: { metrics: everyone }\n");
    host.run(&["serve"]).exits(70).says(&["everyone", "config.yaml"]);
}

#[test]
fn the_pages_have_an_address_of_their_own() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = format!("telemetry: {{ metrics: off, metrics_address: \"{free}\" }}\n");
    let host = TestHost::new().with_settings(&settings);
    let _serving = Serving::start(&host);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(free).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {free}\r\nConnection: close\r\n\r\n").unwrap();
        Answer::read(stream).unwrap()
    };
    assert!(String::from_utf8_lossy(get("/metrics").body()).contains("apflow_build_info"));
    assert_eq!(get("/ready").json()["status"], "ready");
    assert_eq!(get("/health").json()["status"], "ok");
    assert_eq!(get("/api/v1/jobs").status, 404);
}

#[test]
fn a_host_says_what_of_it_is_ready_and_when_it_drains() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let ready = serving.ask("GET /ready", None, b"").is(200).json();
    assert_eq!(ready["status"], "ready");
    for part in ["database", "engine", "plugins", "draining"] {
        assert_eq!(ready["parts"][part]["status"], "ok", "{ready:#}");
    }
    assert!(ready["parts"]["plugins"]["installed"].as_u64().unwrap() > 5, "{ready:#}");
    assert_eq!(ready["parts"]["settings"]["config.yaml"]["status"], "ok", "{ready:#}");
    let idle = Serving::start_idle(&host);
    let ready = idle.ask("GET /ready", None, b"").is(200).json();
    assert_eq!(ready["parts"]["engine"]["dispatches"], false);
}

#[test]
fn a_scrape_of_many_tasks_costs_no_more_than_one_of_few() {
    let host = TestHost::new();
    let serving = Serving::start_idle(&host);
    let tasks: Vec<Value> = (0..5_000).map(|_| transform()).collect();
    let few = took(&serving);
    for _ in 0..4 {
        serving.submit("", &json!({ "tasks": tasks })).is(202);
    }
    let page = page(&serving);
    assert!((value(&page, "apflow_tasks{state=\"ready\"}") - 20_000.0).abs() < 0.5);
    let many = took(&serving);
    println!("a scrape takes {few:?} with no tasks, and {many:?} with 20000");
    assert!(many < few * 10 + Duration::from_millis(100), "{few:?} and {many:?}");
}

/// How long the fastest of a few scrapes takes.
fn took(serving: &Serving<'_>) -> Duration {
    let scrape = |_| {
        let start = Instant::now();
        page(serving);
        start.elapsed()
    };
    (0..5).map(scrape).min().unwrap()
}
