//! How many tasks run at once, how many may wait, and until when.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apflow_model::clock::Timestamp;
use serde_json::{Value, json};

use crate::guests::{NEVER_ENDS, SLEEPS_FOREVER};
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

#[test]
fn a_limited_executor_runs_as_often_as_its_limit_says() {
    for host in TestHost::on_each_database() {
        configure(&host, "concurrency: { executors: { rest_executor: 2 } }");
        let crowd = Crowd::gather();
        let serving = crowd.serve(&host);
        let id = submitted(&serving, &json!({ "tasks": vec![crowd.task(); 5] }));
        crowd.server.wait_for_hits(2);
        let other = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
        assert_eq!(serving.submit("?wait=30", &other).is(200).json()["state"], "completed");
        let job = serving.get(&format!("/api/v1/jobs/{id}")).is(200).json();
        assert_eq!(states(&job), ["running", "running", "ready", "ready", "ready"]);
        crowd.let_go(5);
        assert_eq!(serving.ended(&id)["state"], "completed");
        assert_eq!(crowd.at_once_max(), 2);
    }
}

#[test]
fn tasks_of_one_key_run_one_after_the_other() {
    for host in TestHost::on_each_database() {
        let crowd = Crowd::gather();
        crowd.let_go(4);
        let serving = crowd.serve(&host);
        let mut task = crowd.task();
        task["concurrency"] = json!({ "key": "crm", "max": 1 });
        let job = submitted(&serving, &json!({ "tasks": vec![task; 4] }));
        let job = serving.ended(&job);
        assert_eq!(job["state"], "completed");
        assert_eq!(job["tasks"][0]["concurrency"], json!({ "key": "crm", "max": 1 }));
        assert_eq!(crowd.at_once_max(), 1);
    }
}

#[test]
fn a_running_task_is_stopped_at_its_deadline() {
    for host in TestHost::on_each_database() {
        NEVER_ENDS.load(&host, "limits: { timeout: 1h }");
        let serving = Serving::start(&host);
        let deadline = in_ms(1_500);
        let job = json!({ "deadline": deadline, "tasks": [
            { "id": "works", "executor": "never_ends" },
            { "id": "after", "executor": "never_ends", "dependencies": ["works"] },
        ] });
        let job = serving.ended(&submitted(&serving, &job));
        assert_eq!(job["tasks"][0]["fault"]["code"], "deadline-exceeded");
        assert_eq!(job["tasks"][0]["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(job["tasks"][0]["deadline"], json!(deadline));
        let ended: Timestamp = serde_json::from_value(job["tasks"][0]["ended_at"].clone()).unwrap();
        assert!(deadline <= ended && ended.since(deadline) < Duration::from_secs(5), "{ended}");
        // It waited, so its own deadline ends it, unless the end of the other came first.
        assert!(["failed", "skipped"].contains(&states(&job)[1]), "{job:#}");
    }
}

#[test]
fn a_waiting_task_fails_at_its_deadline_while_every_place_is_taken() {
    for host in TestHost::on_each_database() {
        SLEEPS_FOREVER.load(&host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
        configure(&host, "attempts_max: 1");
        let serving = Serving::start(&host);
        let sleeping = submitted(&serving, &json!({ "executor": "sleeps_forever" }));
        serving.found(&sleeping, |job| states(job) == ["running"]);
        let task = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                           "deadline": in_ms(300) });
        let answer = serving.submit("?wait=30", &task).is(200).json();
        assert_eq!(answer["tasks"][0]["fault"]["code"], "deadline-exceeded");
        assert_eq!(answer["tasks"][0]["attempts"], json!([]));
        let id = answer["id"].as_str().unwrap();
        let shown = host.run(&["jobs", "show", id]).succeeds();
        assert!(shown.stdout.contains("deadline-exceeded"), "{}", shown.stdout);
    }
}

#[test]
fn a_job_over_the_limit_of_open_tasks_is_refused_until_others_have_ended() {
    for host in TestHost::on_each_database() {
        configure(&host, "admission: { tasks_open_max: 3 }");
        let crowd = Crowd::gather();
        let serving = crowd.serve(&host);
        let id = submitted(&serving, &json!({ "tasks": vec![crowd.task(); 2] }));
        let pair = json!({ "tasks": vec![crowd.task(); 2] });
        let refused = serving.submit("", &pair);
        assert_eq!(refused.headers["retry-after"], "10");
        refused.problem(429, "too-many-tasks");
        assert_eq!(host.jobs().len(), 1);
        crowd.let_go(4);
        serving.ended(&id);
        serving.ended(&submitted(&serving, &pair));
    }
}

#[test]
fn who_submits_one_by_one_does_not_overtake_what_waits_for_a_place() {
    const WAITING: usize = 40;
    for host in TestHost::on_each_database() {
        let host = host.with_policies("rate_limits: { enabled: false }");
        configure(&host, "attempts_max: 1");
        let serving = Serving::start(&host);
        let task = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
        let (is_over, overtakers) = (AtomicBool::new(false), AtomicUsize::new(0));
        let overtake = || {
            while !is_over.load(Ordering::SeqCst) {
                serving.submit("?wait=30", &task).is(200);
                overtakers.fetch_add(1, Ordering::SeqCst);
            }
        };
        thread::scope(|scope| {
            let crowd = (0..4).map(|_| scope.spawn(overtake)).collect::<Vec<_>>();
            let ended = serving.submit("?wait=60", &json!({ "tasks": vec![&task; WAITING] }));
            is_over.store(true, Ordering::SeqCst);
            assert_eq!(ended.is(200).json()["state"], "completed");
            drop(crowd);
        });
        let overtakers = overtakers.into_inner();
        assert!(overtakers < WAITING, "{overtakers} were done before {WAITING} that waited");
    }
}

#[test]
fn limits_that_make_no_sense_are_refused_with_their_place() {
    for (settings, says) in [
        (
            "concurrency:\n  executors:\n    rest_executor: 0\n",
            "is `0`, but must be a whole number from 1 to 1000000",
        ),
        ("concurrency:\n  queues: {}\n", "queues"),
        ("admission:\n  tasks_open_max: -1\n", "2:19"),
    ] {
        let host = TestHost::new();
        configure(&host, settings);
        let path = host.config_file().display().to_string();
        host.run(&["serve", "--port", "0"]).exits(70).says(&[path.as_str(), says]);
    }
}

/// A server that keeps everybody waiting, and counts how many wait at once.
struct Crowd {
    server: Server,
    release: Sender<()>,
    at_once_max: Arc<AtomicUsize>,
}

impl Crowd {
    fn gather() -> Self {
        let (release, held) = channel::<()>();
        let (held, at_once) = (Mutex::new(held), AtomicUsize::new(0));
        let at_once_max = Arc::new(AtomicUsize::new(0));
        let max = Arc::clone(&at_once_max);
        let server = Server::start(move |_| {
            max.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // It is gone when the test has failed.
            _ = held.lock().unwrap().recv();
            at_once.fetch_sub(1, Ordering::SeqCst);
            Reply::json(&json!("done"))
        });
        Self { server, release, at_once_max }
    }

    /// Serves with the right to ask this server.
    fn serve<'host>(&self, host: &'host TestHost) -> Serving<'host> {
        let grant = format!("http={}", self.server.origin());
        host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
        Serving::start(host)
    }

    fn task(&self) -> Value {
        json!({ "executor": "rest_executor", "inputs": { "url": self.server.url("/") } })
    }

    fn let_go(&self, count: usize) {
        (0..count).for_each(|_| self.release.send(()).unwrap());
    }

    fn at_once_max(&self) -> usize {
        self.at_once_max.load(Ordering::SeqCst)
    }
}

fn configure(host: &TestHost, settings: &str) {
    let file = host.config_file();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, format!("{settings}\n")).unwrap();
}

fn submitted(serving: &Serving<'_>, job: &Value) -> String {
    serving.submit("", job).is(202).json()["id"].as_str().unwrap().to_owned()
}

fn states(job: &Value) -> Vec<&str> {
    let tasks = job["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["state"].as_str().unwrap()).collect()
}

fn in_ms(ms: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_ms(0).after(now + Duration::from_millis(ms))
}
