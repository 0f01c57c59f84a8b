//! A host that is killed, and what the next start makes of it.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::guests::BEHAVES;
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;

#[test]
fn what_was_accepted_ends_exactly_once_although_the_host_is_killed_at_once() {
    for host in TestHost::on_each_database() {
        BEHAVES.load(&host, "");
        let serving = Serving::start(&host);
        let ids: Vec<String> = (0..20)
        .map(|n| {
            let tasks: Vec<Value> = (0..3)
                .map(|task| json!({ "executor": "behaves", "inputs": { "stdin": format!("{n} {task}") } }))
                .collect();
            let accepted = serving.submit("", &json!({ "tasks": tasks })).is(202).json();
            accepted["id"].as_str().unwrap().to_owned()
        })
        .collect();
        serving.kill();
        let serving = Serving::start(&host);
        for (n, id) in ids.iter().enumerate() {
            let job = serving.ended(id);
            assert_eq!(job["state"], "completed", "{job:#}");
            for (index, task) in job["tasks"].as_array().unwrap().iter().enumerate() {
                let read = format!("behaves read \"{n} {index}\"");
                assert_eq!(task["output"]["stdout"], read);
                let mut faults = faults(task);
                assert_eq!(faults.pop(), Some(""), "{task:#}");
                assert!(faults.is_empty() || faults == ["host-lost"], "{task:#}");
            }
        }
        assert_eq!(host.jobs().len(), 20);
    }
}

#[test]
fn what_was_acknowledged_is_there_whenever_the_host_is_killed() {
    for host in TestHost::on_each_database() {
        let mut acknowledged = Vec::new();
        let mut sent = 0;
        for acknowledged_min in [1, 3, 10, 25] {
            let serving = Serving::start(&host);
            // A task that is running at two strikes is quarantined, as another fact says.
            for job in host.jobs() {
                serving.ended(job["id"].as_str().unwrap());
            }
            let (said, heard) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    let (serving, said) = (&serving, said.clone());
                    scope.spawn(move || submit_until_killed(serving, &said));
                }
                drop(said);
                acknowledged.extend(heard.iter().take(acknowledged_min));
                serving.strike();
                acknowledged.extend(heard.iter());
            });
            // Each of the three may have sent one that it heard nothing of.
            sent += 3;
        }
        let serving = Serving::start(&host);
        for id in &acknowledged {
            let job = serving.ended(id);
            assert_eq!(
                (&job["state"], &job["tasks"][1]["output"]),
                (&json!("completed"), &json!(2))
            );
        }
        let stored = host.jobs();
        let count = acknowledged.len();
        assert!((count..=count + sent).contains(&stored.len()), "{} of {count}", stored.len());
        for job in stored {
            let job = serving.ended(job["id"].as_str().unwrap());
            assert_eq!(job["state"], "completed", "half a job was stored: {job:#}");
            assert_eq!(job["tasks"].as_array().unwrap().len(), 2);
        }
    }
}

#[test]
fn only_what_was_running_is_tried_again() {
    for host in TestHost::on_each_database() {
        let (gate, server) = gate(&host);
        let serving = Serving::start(&host);
        let request = |id: &str, path: &str, dependencies: Value| {
            json!({ "id": id, "executor": "rest_executor", "inputs": { "url": server.url(path) },
                "dependencies": dependencies })
        };
        let job = json!({ "tasks": [
        request("before", "/open", json!([])),
        request("during", "/held", json!(["before"])),
        request("after", "/open", json!(["during"])),
    ] });
        let accepted = serving.submit("", &job).is(202).json();
        server.wait_for_hits(2);
        serving.kill();
        gate.open();
        let serving = Serving::start(&host);
        let ended = serving.ended(accepted["id"].as_str().unwrap());
        assert_eq!(ended["state"], "completed");
        let faults: BTreeMap<&str, Vec<&str>> = ended["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| (task["reference"].as_str().unwrap(), faults(task)))
            .collect();
        let expected =
            [("after", vec![""]), ("before", vec![""]), ("during", vec!["host-lost", ""])];
        assert_eq!(faults, BTreeMap::from(expected));
        let held: Vec<_> = server.hits().into_iter().filter(|hit| hit.path == "/held").collect();
        assert_eq!((server.hits().len(), held.len()), (4, 2));
    }
}

#[test]
fn a_task_that_was_running_when_the_host_ended_twice_is_quarantined() {
    let host = TestHost::new();
    let (gate, server) = gate(&host);
    let job = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") },
                      "max_attempts": 10 });
    let serving = Serving::start(&host);
    let accepted = serving.submit("", &job).is(202).json();
    server.wait_for_hits(1);
    serving.kill();
    let serving = Serving::start(&host);
    server.wait_for_hits(2);
    serving.kill();
    gate.open();
    let serving = Serving::start(&host);
    let ended = serving.ended(accepted["id"].as_str().unwrap());
    assert_eq!(ended["state"], "failed");
    let task = &ended["tasks"][0];
    assert_eq!(task["fault"]["code"], "host-lost");
    assert_eq!(faults(task), ["host-lost", "host-lost"]);
    assert_eq!(server.hits().len(), 2);
}

#[test]
fn a_stop_that_cuts_an_attempt_short_is_not_held_against_its_task() {
    let host = TestHost::new().with_settings("http: { drain_seconds: 1 }\n");
    let (gate, server) = gate(&host);
    let job = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") },
                      "max_attempts": 1 });
    let serving = Serving::start(&host);
    let accepted = serving.submit("", &job).is(202).json();
    server.wait_for_hits(1);
    assert_eq!(serving.stop(), Some(0));
    gate.open();
    let serving = Serving::start(&host);
    let ended = serving.ended(accepted["id"].as_str().unwrap());
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(faults(&ended["tasks"][0]), ["host-lost", ""]);
}

#[test]
fn a_host_that_is_asked_to_end_lets_running_attempts_finish() {
    let host = TestHost::new();
    let (gate, server) = gate(&host);
    let serving = Serving::start(&host);
    let job = json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") } });
    let accepted = serving.submit("", &job).is(202).json();
    server.wait_for_hits(1);
    serving.ask_to_end();
    gate.open();
    assert_eq!(serving.wait(), Some(0));
    let id = accepted["id"].as_str().unwrap();
    let ended = host.run(&["jobs", "show", id, "--json"]).succeeds().json();
    assert_eq!(ended["state"], "completed", "{ended:#}");
    assert_eq!(server.hits().len(), 1);
}

/// A server behind a gate, which the host's `rest_executor` may call.
pub(crate) fn gate(host: &TestHost) -> (Gate, Server) {
    let gate = Gate(Arc::default());
    let server = gate.server();
    let grant = format!("http={}", server.origin());
    host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    (gate, server)
}

/// Holds requests to `/held` until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// A server behind the gate.
    fn server(&self) -> Server {
        let gate = self.clone();
        Server::start(move |hit| {
            if hit.path == "/held" {
                let is_open = gate.0.0.lock().unwrap();
                drop(gate.0.1.wait_while(is_open, |is_open| !*is_open).unwrap());
            }
            Reply::json(&json!("through"))
        })
    }
}

/// Submits jobs until the host does not answer any more, and says the id of each that it accepted.
fn submit_until_killed(serving: &Serving<'_>, said: &Sender<String>) {
    let job = json!({ "tasks": [
        { "id": "a", "executor": "transform_executor", "inputs": { "filter": "1" } },
        { "id": "b", "executor": "transform_executor", "dependencies": ["a"],
          "inputs": { "filter": ". + 1", "input": { "$from": "a" } } },
    ] });
    let body = job.to_string();
    let submit = || serving.try_ask("POST /api/v1/jobs", Some(serving.token()), body.as_bytes());
    while let Some(answer) = submit() {
        let id = answer.is(202).json()["id"].as_str().unwrap().to_owned();
        said.send(id).unwrap();
    }
}

/// The fault of each attempt; empty where it went well.
pub(crate) fn faults(task: &Value) -> Vec<&str> {
    let attempts = task["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| attempt["fault"]["code"].as_str().unwrap_or_default()).collect()
}
