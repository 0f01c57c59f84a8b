//! What the host takes care of for tools: kept results, approvals, health, breakers of their own.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// A server whose answers count its hits, with the status that a test chooses.
struct Counter {
    server: Server,
    status: Arc<AtomicU16>,
}

impl Counter {
    fn start() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let own = Arc::clone(&status);
        let server = Server::start(move |hit| match own.load(Ordering::Relaxed) {
            200 => Reply::json(&json!({ "path": hit.path })),
            status => Reply::status(status),
        });
        Self { server, status }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn hits(&self) -> usize {
        self.server.hits().len()
    }

    /// Loads a tool that asks it for a word, with these lines more, and grants it that.
    fn load(&self, host: &TestHost, name: &str, more: &str) {
        self.load_without_grant(host, name, more);
        let folder = self.folder(name, more);
        let grant = format!("http={}", self.server.origin());
        let path = folder.path().join(name);
        host.run(&["load", path.to_str().unwrap(), "--grant", &grant]).succeeds();
    }

    fn load_without_grant(&self, host: &TestHost, name: &str, more: &str) {
        let folder = self.folder(name, more);
        let path = folder.path().join(name);
        host.run(&["load", path.to_str().unwrap(), "--grant", "none"]).succeeds();
    }

    fn folder(&self, name: &str, more: &str) -> TempDir {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join(name)).unwrap();
        let url = self.server.url("/ask");
        let text = format!(
            "name: {name}\nversion: 1.0.0\ndescription: Asks.\ncategory: utility\n\
             input_schema: {{ arguments: [{{ name: word, type: string, required: true }}] }}\n\
             run: {{ request: {{ method: GET, url: \"{url}\", query: {{ q: \"{{word}}\" }} }} }}\n\
             {more}\n"
        );
        fs::write(root.path().join(name).join("tool.yaml"), text).unwrap();
        root
    }
}

fn asks(tool: &str, word: &str) -> Value {
    let backoff = json!({ "strategy": "fixed", "base_seconds": 0, "max_seconds": 0 });
    json!({ "tool": tool, "inputs": { "word": word }, "max_attempts": 1, "backoff": backoff })
}

/// Runs one task to its end, and answers it.
fn run(serving: &Serving, task: &Value) -> Value {
    let job = serving.submit("?wait=60", &json!({ "tasks": [task] })).is(200).json();
    job["tasks"][0].clone()
}

fn kinds(serving: &Serving, job: &Value) -> Vec<String> {
    let events = serving.get(&format!("/api/v1/jobs/{}/events", job.as_str().unwrap()));
    let events = events.is(200).json();
    let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
    events["events"].as_array().unwrap().iter().map(kind).collect()
}

/// Runs a verb that prints all of this.
#[track_caller]
fn shows(host: &TestHost, arguments: &[&str], texts: &[&str]) {
    let stdout = host.run(arguments).succeeds().stdout;
    for text in texts {
        assert!(stdout.contains(text), "{text} is not in: {stdout}");
    }
}

fn post(serving: &Serving, path: &str, body: &str) -> crate::serving::Answer {
    serving.ask(&format!("POST /api/v1/{path}"), Some(serving.token()), body.as_bytes())
}

#[test]
fn a_result_is_given_again_until_it_is_forgotten() {
    let (host, counter) = (TestHost::new(), Counter::start());
    counter.load(&host, "find", "cache: { ttl: 1h }");
    let serving = Serving::start(&host);
    let first = run(&serving, &asks("find", "a"));
    assert_eq!(first["state"], "completed", "{first:#}");
    assert!(kinds(&serving, &first["job_id"]).contains(&"cache_miss".to_owned()));
    let again = run(&serving, &asks("find", "a"));
    assert_eq!((counter.hits(), &again["output"]), (1, &first["output"]), "{again:#}");
    assert_eq!(again["usage"]["wall_us"], 0);
    assert!(kinds(&serving, &again["job_id"]).contains(&"cache_hit".to_owned()));
    run(&serving, &asks("find", "b"));
    assert_eq!(counter.hits(), 2, "other inputs have another result");
    let mut uncached = asks("find", "a");
    uncached["cache"] = json!(false);
    run(&serving, &uncached);
    assert_eq!(counter.hits(), 3, "the task has nothing to do with the cache");

    let metrics = &serving.get("/api/v1/tools/find").is(200).json()["metrics"];
    for (name, count) in [("runs", 3), ("successes", 3), ("cache_hits", 1), ("cache_misses", 2)] {
        assert_eq!(metrics[name], count, "{name}: {metrics:#}");
    }
    assert!(metrics["median_us"].as_u64().unwrap() > 0, "{metrics:#}");
    shows(&host, &["tools", "show", "find"], &["CACHE HITS"]);
    let kept = host.run(&["tools", "cache", "list", "find", "--json"]).succeeds().json();
    assert_eq!((&kept["total"], kept["results"].as_array().unwrap().len()), (&json!(2), 2));
    assert!(!kept.to_string().contains("word"), "neither inputs nor outputs are shown");
    shows(&host, &["tools", "cache", "clear", "find"], &["2 results forgotten"]);
    run(&serving, &asks("find", "a"));
    assert_eq!(counter.hits(), 4);
    let cleared = serving.ask("DELETE /api/v1/cache", Some(serving.token()), b"");
    assert_eq!(cleared.is(200).json(), json!({ "cleared": 1 }));
    serving.get("/api/v1/cache?tool=nobody").problem(404, "unknown-tool");
}

#[test]
fn neither_faults_nor_old_results_nor_those_of_another_version_are_given_again() {
    let (host, counter) = (TestHost::new(), Counter::start());
    counter.load(&host, "find", "cache: { ttl: 1h }");
    counter.load(&host, "brief", "cache: { ttl: 1ms }");
    let serving = Serving::start(&host);
    counter.answers(404);
    assert_eq!(run(&serving, &asks("find", "a"))["state"], "failed");
    counter.answers(200);
    assert_eq!(run(&serving, &asks("find", "a"))["state"], "completed");
    assert_eq!(counter.hits(), 2, "a fault is not kept");
    counter.load(&host, "find", "cache: { ttl: 1h }\ntags: [newer]");
    run(&serving, &asks("find", "a"));
    assert_eq!(counter.hits(), 3, "another version has another result");
    for _ in 0..2 {
        run(&serving, &asks("brief", "a"));
    }
    assert_eq!(counter.hits(), 5, "what has expired is not given again");
}

#[test]
fn a_task_waits_for_approval_and_goes_on_when_it_is_approved() {
    let (host, counter) = (TestHost::new(), Counter::start());
    counter.load(&host, "buy", "requires_approval: true");
    let serving = Serving::start(&host);
    let job = serving.submit("", &json!({ "tasks": [asks("buy", "boat")] })).is(202).json();
    let id = job["id"].as_str().unwrap();
    let parked = serving.found(id, |job| job["tasks"][0]["state"] == "parked");
    let task = &parked["tasks"][0];
    assert_eq!((&task["parked_for"], counter.hits()), (&json!("approval"), 0));
    let task = task["id"].as_str().unwrap();
    let listed = serving.get("/api/v1/approvals").is(200).json();
    let pending = &listed["approvals"][0];
    assert_eq!((&pending["task_id"], &pending["tool"]), (&json!(task), &json!("buy")));
    assert_eq!(pending["inputs"], json!({ "word": "boat" }));
    shows(&host, &["approvals", "list"], &[task, "buy", "boat"]);

    let path = format!("tasks/{task}/approve");
    post(&serving, &path, r#"{"why": "no"}"#).problem(400, "invalid-request");
    let body = r#"{"reason": "the budget allows it"}"#;
    let approved = post(&serving, &path, body).is(200).json();
    let decided = &approved["approvals"][0]["decided"];
    assert_eq!(decided["decision"], "approved");
    assert_eq!(decided["reason"], "the budget allows it");
    assert_eq!(serving.ended(id)["state"], "completed");
    assert_eq!(counter.hits(), 1);
    post(&serving, &path, "").is(200);
    post(&serving, &format!("tasks/{task}/deny"), "").problem(409, "approval-not-pending");
    let told = kinds(&serving, &json!(id));
    assert!(
        ["approval_asked", "approval_decided"].iter().all(|kind| told.iter().any(|k| k == kind))
    );
    assert_eq!(serving.get("/api/v1/approvals").is(200).json()["approvals"], json!([]));
}

#[test]
fn a_denied_task_fails_and_what_requires_it_is_skipped() {
    let (host, counter) = (TestHost::new(), Counter::start());
    counter.load(&host, "buy", "requires_approval: true");
    let serving = Serving::start(&host);
    let mut buy = asks("buy", "boat");
    buy["id"] = json!("buy");
    let after = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                        "dependencies": ["buy"] });
    let job = serving.submit("", &json!({ "tasks": [buy, after] })).is(202).json();
    let id = job["id"].as_str().unwrap();
    let parked = serving.found(id, |job| job["tasks"][0]["state"] == "parked");
    let task = parked["tasks"][0]["id"].as_str().unwrap();
    shows(&host, &["approvals", "deny", task, "--reason", "too dear"], &["buy denied by operator"]);
    let ended = serving.ended(id);
    let fault = &ended["tasks"][0]["fault"];
    assert_eq!(fault["code"], "denied", "{ended:#}");
    assert_eq!(fault["message"], "operator denied it: too dear");
    assert_eq!((&ended["tasks"][1]["state"], counter.hits()), (&json!("skipped"), 0));
    host.run(&["jobs", "watch", id]).exits(3);
    host.run(&["tasks", "watch", task]).exits(3);
    host.run(&["approvals", "approve", task]).exits(1).says(&["was denied by operator"]);
    host.run(&["approvals", "approve", "t_0000000000001"]).exits(1);
    host.run(&["tasks", "retry", task]).succeeds();
    serving.found(id, |job| job["tasks"][0]["state"] == "parked");
    host.run(&["doctor"]).succeeds();
}

#[test]
fn a_tool_is_as_well_as_what_it_needs() {
    let (host, counter) = (TestHost::new(), Counter::start());
    let host = host.with_settings("tools: { health_seconds: 0 }\n");
    let api = |path: &str| {
        let url = counter.server.url(path);
        format!("apis: [{{ name: asker, base_url: \"{url}\", health_endpoint: \"{url}\" }}]")
    };
    let look = |tool: &str| host.run(&["tools", "health", tool, "--json"]).json()[0].clone();
    let checks = |look: &Value| -> Vec<String> {
        let issues = look["issues"].as_array().unwrap();
        issues.iter().map(|issue| issue["check"].as_str().unwrap().to_owned()).collect()
    };
    counter.load_without_grant(&host, "find", &api("/health"));
    let ungranted = look("find");
    assert_eq!((&ungranted["status"], counter.hits()), (&json!("degraded"), 0));
    assert_eq!(checks(&ungranted), ["grants", "api"], "{ungranted:#}");
    let grant = format!("`http=GET {}` is not granted", counter.server.url("/health"));
    assert!(ungranted["issues"][1]["message"].as_str().unwrap().contains(&grant), "{ungranted:#}");

    counter.load(&host, "find", &api("/health"));
    let well = look("find");
    assert_eq!((&well["status"], counter.hits()), (&json!("healthy"), 1), "{well:#}");
    counter.answers(503);
    let failing = look("find");
    assert_eq!(checks(&failing), ["api"], "{failing:#}");
    counter.answers(200);

    counter.load(&host, "other", "fallback_tool: nobody");
    assert_eq!(checks(&look("other")), ["fallback"]);
    shows(&host, &["tools", "health"], &["find", "healthy", "other", "degraded"]);
    host.run(&["tools", "health", "nobody", "--json"]).exits(1);
}

#[test]
fn a_tool_has_a_breaker_of_its_own_rule_and_is_unhealthy_while_it_is_open() {
    let (host, counter) = (TestHost::new(), Counter::start());
    let host = host.with_settings("breakers: { destinations: off }\n");
    counter.load(&host, "find", "circuit_breaker: { failures: 2, recovery: 1h }");
    counter.answers(503);
    let serving = Serving::start(&host);
    for _ in 0..2 {
        assert_eq!(run(&serving, &asks("find", "a"))["fault"]["code"], "retryable");
    }
    let waiting = serving.submit("", &json!({ "tasks": [asks("find", "a")] })).is(202).json();
    let health = serving.get("/api/v1/tools/find/health").is(200).json();
    assert_eq!(health["status"], "unhealthy", "{health:#}");
    assert_eq!(health["issues"][0]["check"], "breaker");
    assert_eq!(counter.hits(), 2);
    let again = serving.get("/api/v1/tools/find/health").is(200).json();
    assert_eq!(again["checked_at"], health["checked_at"], "a look is good for a while");
    counter.answers(200);
    post(&serving, "breakers/executor:find/reset", "").is(200);
    assert_eq!(serving.ended(waiting["id"].as_str().unwrap())["state"], "completed");
}
