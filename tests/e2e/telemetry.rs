//! The log, the traces of requests and of what became of them, and the metrics that are sent.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

fn transform(value: &Value) -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": ".", "input": value } })
}

/// Submits a job as part of the trace of its client, and waits for its end.
fn submit_traced(serving: &Serving<'_>, job: &Value) -> Value {
    let headers = format!("{}\r\nTraceparent: 00-{TRACE}-{CLIENT}-01", serving.token());
    let body = job.to_string();
    serving.ask("POST /api/v1/jobs?wait=30", Some(&headers), body.as_bytes()).is(200).json()
}

/// What a collector has got at a path.
fn sent(collector: &Server, path: &str) -> Vec<Value> {
    let hits = collector.hits().into_iter().filter(|hit| hit.path == path);
    hits.map(|hit| {
        assert_eq!(
            (hit.method.as_str(), &*hit.headers["content-type"]),
            ("POST", "application/json")
        );
        serde_json::from_slice(&hit.body).unwrap()
    })
    .collect()
}

/// The metrics that a collector got last, by name. None before.
fn metrics(collector: &Server) -> BTreeMap<String, Value> {
    let Some(mut last) = sent(collector, "/v1/metrics").pop() else { return BTreeMap::new() };
    let metrics = last["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].take();
    let Value::Array(metrics) = metrics else { panic!("{last:#}") };
    let named = |metric: Value| (metric["name"].as_str().unwrap().to_owned(), metric);
    metrics.into_iter().map(named).collect()
}

/// How many tasks have completed, as the collector heard last.
fn completed(collector: &Server) -> Option<Value> {
    let metrics = metrics(collector);
    let points = metrics.get("apflow_tasks_ended_total")?["sum"]["dataPoints"].as_array()?.clone();
    let of = |point: &Value| point["attributes"][0]["value"]["stringValue"] == "completed";
    Some(points.iter().find(|point| of(point))?["asInt"].clone())
}

/// The spans that a collector has got, by name; of those with one name, the last.
fn spans(collector: &Server) -> BTreeMap<String, Value> {
    let mut spans = BTreeMap::new();
    for body in sent(collector, "/v1/traces") {
        for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap() {
            // Those of other requests, such as looks at the metrics.
            if span["traceId"] == TRACE {
                spans.insert(span["name"].as_str().unwrap().to_owned(), span.clone());
            }
        }
    }
    spans
}

#[test]
fn a_request_and_what_became_of_its_job_are_one_trace() {
    let collector = Server::start(|_| Reply::json(&json!({})));
    let settings = format!(
        "telemetry:\n  otlp: {{ endpoint: \"{}\", headers: {{ api-key: hush }} }}\n",
        collector.origin()
    );
    let host = TestHost::new().with_settings(&settings);
    let serving = Serving::start(&host);
    let job = submit_traced(&serving, &transform(&json!(1)));
    serving.until(|| spans(&collector).len() == 4);
    let spans = spans(&collector);
    let id = |name: &str| spans[name]["spanId"].clone();
    assert_eq!(spans["request"]["parentSpanId"], CLIENT);
    assert_eq!(spans["submit"]["parentSpanId"], id("request"));
    assert_eq!(spans["attempt"]["parentSpanId"], id("submit"));
    assert_eq!(spans["settle"]["parentSpanId"], id("attempt"));
    let attributes = spans["attempt"]["attributes"].to_string();
    for expected in [job["id"].as_str().unwrap(), "transform_executor"] {
        assert!(attributes.contains(expected), "{attributes}");
    }
    assert_eq!(collector.hits()[0].headers["api-key"], "hush");
}

#[test]
fn a_collector_that_is_gone_costs_nothing_but_spans() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = TestHost::new();
    let endpoint = format!("http://{gone}");
    let serving = Serving::start_with(&host, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
    assert_eq!(submit_traced(&serving, &transform(&json!(1)))["state"], "completed");
    let failed = "apflow_otlp_spans_total{outcome=\"failed\"} 0\n";
    serving.until(|| {
        let page = serving.get("/metrics").is(200);
        !String::from_utf8_lossy(page.body()).contains(failed)
    });
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn a_collector_gets_what_the_page_of_metrics_shows() {
    let collector = Server::start(|_| Reply::json(&json!({})));
    let host = TestHost::new();
    let endpoint = collector.url("/v1/metrics");
    let environment = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "authorization=Basic%20hush"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let serving = Serving::start_with(&host, &environment);
    submit_traced(&serving, &transform(&json!(1)));
    serving.until(|| completed(&collector) == Some(json!("1")));
    let metrics = metrics(&collector);
    let page = serving.get("/metrics").is(200);
    let page = String::from_utf8_lossy(page.body());
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        // A family without numbers has no points to send.
        if !page.lines().any(|line| line.starts_with(name)) {
            continue;
        }
        let kind = if kind == "counter" { "sum" } else { kind };
        assert!(metrics[name][kind]["dataPoints"][0].is_object(), "{name}: {:#}", metrics[name]);
    }
    let took = &metrics["apflow_commit_seconds"]["histogram"]["dataPoints"][0];
    assert!(took["sum"].as_f64().unwrap() > 0.0, "{took:#}");
    let hit = &collector.hits()[0];
    assert_eq!(hit.headers["authorization"], "Basic hush");
    assert!(String::from_utf8_lossy(&hit.body).contains("service.instance.id"));
    assert!(sent(&collector, "/v1/traces").is_empty(), "only metrics have an endpoint");
}

#[test]
fn the_last_metrics_are_sent_when_the_host_ends() {
    let collector = Server::start(|_| Reply::json(&json!({})));
    let settings = format!("telemetry: {{ otlp: {{ endpoint: \"{}\" }} }}\n", collector.origin());
    let host = TestHost::new().with_settings(&settings);
    let serving = Serving::start(&host);
    submit_traced(&serving, &transform(&json!(1)));
    assert_eq!(serving.stop(), Some(0));
    assert_eq!(completed(&collector), Some(json!("1")));
    assert!(metrics(&collector).contains_key("apflow_database_bytes"), "the database was read");
}

#[test]
fn a_collector_that_never_answers_holds_up_no_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let host = TestHost::new();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let serving = Serving::start_with(&host, &environment);
    submit_traced(&serving, &transform(&json!(1)));
    let start = Instant::now();
    assert_eq!(serving.stop(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn settings_that_name_no_collector_are_refused() {
    let host = TestHost::new().with_settings("telemetry: { otlp: { endpoint: \"here:4317\" } }\n");
    host.run(&["serve", "--port", "0"]).exits(70).says(&["telemetry.otlp.endpoint", "here:4317"]);
    let host = TestHost::new().with_settings("telemetry: { log: \"apflow==loud\" }\n");
    host.run(&["serve", "--port", "0"]).exits(70).says(&["apflow==loud"]);
}

#[test]
fn lines_of_json_say_what_they_are_about_and_hold_no_secrets() {
    let host = TestHost::new().with_settings("telemetry: { log: debug, log_format: json }\n");
    let path = host.data().join("log");
    let serving = Serving::start_logging(&host, &path);
    submit_traced(&serving, &transform(&json!("marked-payload")));
    let broken = json!({ "executor": "transform_executor",
                         "inputs": { "filter": "marked-filter(", "input": 1 } });
    submit_traced(&serving, &broken);
    let token = serving.token().to_owned();
    assert_eq!(serving.stop(), Some(0));
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered = lines
        .iter()
        .find(|line| line["message"] == "answered" && line["operation"] == "jobs.submit");
    let answered = answered.unwrap_or_else(|| panic!("{text}"));
    assert_eq!((&answered["trace_id"], &answered["level"]), (&json!(TRACE), &json!("INFO")));
    assert_eq!(answered["fields"]["request"], answered["request"]);
    assert!(answered["timestamp"].as_str().unwrap().ends_with('Z'), "{answered:#}");
    assert_eq!(answered["fields"]["status"], 200);
    for secret in [token.as_str(), "marked-payload", "marked-filter"] {
        assert!(!text.contains(secret), "`{secret}` is in the log");
    }
}

#[test]
fn guests_name_their_trace_where_the_operator_says_so() {
    let target = Server::start(|_| Reply::json(&json!({})));
    let grant = format!("http={}", target.origin());
    let job = json!({ "executor": "rest_executor", "inputs": { "url": target.url("/") } });
    for (settings, is_named) in [("telemetry: { propagate: true }\n", true), ("", false)] {
        let host = TestHost::new().with_settings(settings);
        host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
        let serving = Serving::start(&host);
        assert_eq!(submit_traced(&serving, &job)["state"], "completed");
        let hits = target.hits();
        let sent = hits.last().unwrap().headers.get("traceparent");
        assert_eq!(sent.is_some_and(|sent| sent.contains(TRACE)), is_named, "{sent:?}");
    }
}
