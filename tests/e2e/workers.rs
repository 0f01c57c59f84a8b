//! Several hosts that share the work of one server, and what becomes of one that is gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crashes::{Gate, faults, gate};
use crate::host::TestHost;
use crate::postgres::{make_database, run_in};
use crate::server::Server;
use crate::serving::Serving;
use crate::working::Working;

/// The shortest lease there is.
const LEASE: Duration = Duration::from_secs(3);

/// A host on a server of its own, and where that is. Few attempts run at once in one process.
fn host(attempts_max: u32) -> Option<(TestHost, String)> {
    let url = make_database()?;
    let settings = format!("lease_seconds: {}\nattempts_max: {attempts_max}\n", LEASE.as_secs());
    let host = TestHost::new().with_database(&url).with_settings(&settings);
    Some((host, url))
}

fn job() -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": "1" } })
}

fn held(server: &Server) -> Value {
    json!({ "executor": "rest_executor", "inputs": { "url": server.url("/held") },
            "max_attempts": 1 })
}

fn submit(serving: &Serving<'_>, job: &Value) -> String {
    let accepted = serving.submit("", job).is(202).json();
    accepted["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_workers_share_the_tasks_of_a_job() {
    let Some((host, url)) = host(4) else { return };
    let serving = Serving::start_idle(&host);
    let workers = [Working::start(&host), Working::start(&host)];
    let tasks: Vec<Value> = (0..200).map(|_| job()).collect();
    let id = submit(&serving, &json!({ "tasks": tasks }));
    let ended = serving.ended(&id);
    assert_eq!(ended["state"], "completed");
    for task in ended["tasks"].as_array().unwrap() {
        assert_eq!((faults(task), &task["output"]), (vec![""], &json!(1)));
    }
    let shared = "DO $$ BEGIN ASSERT (SELECT count(DISTINCT session_id) FROM attempt) = 2, \
                  'one did all the work'; END $$";
    run_in(&url, &[shared]);
    for worker in workers {
        assert_eq!(worker.stop(), Some(0));
    }
}

#[test]
fn what_a_killed_worker_ran_runs_elsewhere_once_its_lease_has_ended() {
    let Some((host, _)) = host(4) else { return };
    let (gate, server) = gate(&host);
    let serving = Serving::start_idle(&host);
    let killed = Working::start(&host);
    let ids: Vec<String> = (0..3).map(|_| submit(&serving, &held_often(&server))).collect();
    server.wait_for_hits(3);
    let _other = Working::start(&host);
    let since = Instant::now();
    killed.kill();
    server.wait_for_hits(6);
    let took = since.elapsed();
    println!("taken up {took:?} after the kill, by a lease of {LEASE:?}");
    // The lease was renewed at most a third of itself before. The rest is for a busy machine.
    assert!(took < LEASE + Duration::from_secs(5), "{took:?}");
    gate.open();
    for id in ids {
        let ended = serving.ended(&id);
        assert_eq!(ended["state"], "completed", "{ended:#}");
        assert_eq!(faults(&ended["tasks"][0]), ["host-lost", ""]);
    }
}

/// As [`held`], with attempts left after a host was lost.
fn held_often(server: &Server) -> Value {
    let mut job = held(server);
    job["max_attempts"] = json!(3);
    job
}

#[test]
fn a_worker_that_stood_still_past_its_lease_changes_nothing_and_goes_on() {
    let Some((host, url)) = host(4) else { return };
    let (gate, server) = gate(&host);
    let serving = Serving::start_idle(&host);
    let zombie = Working::start(&host);
    let ids: Vec<String> = (0..3).map(|_| submit(&serving, &held_often(&server))).collect();
    server.wait_for_hits(3);
    let other = Working::start(&host);
    zombie.signal("-STOP");
    server.wait_for_hits(6);
    // Both have their answers now, and the zombie wakes with those of attempts that are over.
    gate.open();
    let ended: Vec<Value> = ids.iter().map(|id| serving.ended(id)).collect();
    zombie.signal("-CONT");
    other.kill();
    // Nobody else is left to run it: the zombie has a new session.
    let next = submit(&serving, &job());
    assert_eq!(serving.ended(&next)["state"], "completed");
    for (id, before) in ids.iter().zip(ended) {
        assert_eq!(faults(&before["tasks"][0]), ["host-lost", ""]);
        assert_eq!(serving.get(&format!("/api/v1/jobs/{id}")).is(200).json(), before);
        let once = format!(
            "DO $$ BEGIN ASSERT 1 = (SELECT count(*) FROM event WHERE what LIKE '%\"completed\"%' \
             AND task_id = {}), 'not one end'; END $$",
            number(before["tasks"][0]["id"].as_str().unwrap())
        );
        run_in(&url, &[&once]);
    }
    assert_eq!(server.hits().len(), 6, "nothing was called again");
}

#[test]
fn a_guest_of_a_lost_lease_is_stopped() {
    let Some((host, _)) = host(1) else { return };
    let (_gate, server) = gate(&host);
    let serving = Serving::start_idle(&host);
    let zombie = Working::start(&host);
    submit(&serving, &held_often(&server));
    server.wait_for_hits(1);
    let _other = Working::start(&host);
    zombie.signal("-STOP");
    server.wait_for_hits(2);
    zombie.signal("-CONT");
    // The other has no place left, and the zombie's is free once its guest is gone: it waits for
    // an answer that never comes.
    let next = submit(&serving, &job());
    assert_eq!(serving.ended(&next)["state"], "completed");
}

#[test]
fn a_quarantined_plugin_does_not_run_until_it_is_released() {
    let Some((host, url)) = host(1) else { return };
    let run = ["run", "transform_executor", "--input", r#"{"filter": "1"}"#];
    host.run(&run).succeeds();
    let quarantine = "UPDATE component SET quarantined_at = 1800000000000 WHERE digest = \
                      (SELECT digest FROM plugin WHERE name = 'transform_executor')";
    run_in(&url, &[quarantine]);
    let refused = host.run(&run).exits(1);
    refused
        .says(&["error[plugin-quarantined]: ", "apflow-host plugins release transform_executor"]);
    let listed = host.run(&["plugins", "list"]).succeeds().stdout;
    assert_eq!(listed.matches("quarantined").count(), 1, "{listed}");
    let shown = host.run(&["plugins", "show", "transform_executor"]).succeeds().stdout;
    assert!(shown.contains("quarantined since 2027-01-15T08:00:00.000Z"), "{shown}");
    host.run(&["plugins", "release", "transform_executor"]).succeeds();
    host.run(&run).succeeds();
    host.run(&["plugins", "release", "nobody"]).exits(1).says(&["error[unknown-plugin]"]);
}

/// The number that an id stands for in the database.
fn number(id: &str) -> i64 {
    id.parse::<apflow_model::id::TaskId>().unwrap().0
}

#[test]
fn a_submit_on_another_host_runs_at_once() {
    let Some((host, _)) = host(4) else { return };
    let serving = Serving::start_idle(&host);
    let _worker = Working::start(&host);
    submit_and_wait(&serving);
    let since = Instant::now();
    for _ in 0..20 {
        submit_and_wait(&serving);
    }
    let took = since.elapsed();
    println!("20 jobs, one after the other, on another host: {took:?}");
    // Who only looks every second needs 20.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

fn submit_and_wait(serving: &Serving<'_>) {
    let ended = serving.ended(&submit(serving, &job()));
    assert_eq!(ended["state"], "completed", "{ended:#}");
}

#[test]
fn a_cancel_on_another_host_stops_the_guest() {
    let Some((host, _)) = host(1) else { return };
    let (_gate, server): (Gate, Server) = gate(&host);
    let serving = Serving::start_idle(&host);
    let _worker = Working::start(&host);
    let held = submit(&serving, &held(&server));
    server.wait_for_hits(1);
    let next = submit(&serving, &job());
    let cancel = format!("POST /api/v1/jobs/{held}/cancel");
    serving.ask(&cancel, Some(serving.token()), b"").is(200);
    // It has the only place, which is free once its guest has ended.
    assert_eq!(serving.ended(&next)["state"], "completed");
    assert_eq!(serving.ended(&held)["state"], "cancelled");
}

#[test]
fn a_worker_alone_runs_the_tasks_of_a_file() {
    let host = TestHost::new();
    let serving = Serving::start_idle(&host);
    let id = submit(&serving, &job());
    let worker = Working::start(&host);
    assert_eq!(serving.ended(&id)["state"], "completed");
    assert_eq!(worker.stop(), Some(0));
}
