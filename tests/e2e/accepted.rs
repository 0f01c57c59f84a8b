//! Jobs that were accepted over HTTP, by a host that is killed again and again meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guests::BEHAVES;
use crate::host::TestHost;
use crate::serving::Serving;

/// How many clients submit at once.
const CLIENTS: usize = 8;
/// How many jobs have to be accepted, and how many of them before each time that the host is killed.
/// It works on what it accepted before all the while.
const ACCEPTED: usize = 10_000;
const KILLED_AT: [usize; 4] = [500, 3_000, 5_500, 8_000];
/// How many clients hang up.
const HANG_UPS: u64 = 600;
/// A build that is not optimized takes this part of it, unless everything is to be tested.
const PART: usize = 10;
/// The longest that all of them may take to end.
const PATIENCE: Duration = Duration::from_mins(5);

#[test]
fn every_job_that_was_accepted_is_there_and_ends_although_the_host_is_killed() {
    let part = if std::env::var_os("CI").is_some() { 1 } else { PART };
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let accepted = Mutex::new(BTreeSet::new());
    let started = Instant::now();
    for goal in KILLED_AT.into_iter().chain([ACCEPTED]).map(|goal| goal / part) {
        let serving = Serving::start(&host);
        submit_until(&serving, &accepted, goal, goal < ACCEPTED / part);
    }
    let accepted = accepted.into_inner().unwrap();
    let submitted = started.elapsed();
    let serving = Serving::start(&host);
    let found = all_ended(&serving);
    for id in &accepted {
        assert!(found.contains_key(id), "{id} was accepted and is not there");
    }
    // What the host was killed with twice is not run a third time: it has ended as well.
    let failed: Vec<_> = found.iter().filter(|(_, state)| *state != "completed").collect();
    for (id, _) in &failed {
        let job = serving.get(&format!("/api/v1/jobs/{id}")).is(200).json();
        assert_eq!(job["tasks"][0]["fault"]["code"], "host-lost", "{job:#}");
    }
    assert!(failed.len() <= accepted.len() / 100, "{} of {} failed", failed.len(), found.len());
    assert_eq!(serving.stop(), Some(0));
    host.run(&["doctor"]).succeeds();
    println!(
        "{} accepted by {} hosts in {submitted:?}, all ended after {:?}, {} of them twice lost",
        accepted.len(),
        KILLED_AT.len() + 1,
        started.elapsed(),
        failed.len()
    );
}

#[test]
fn who_hangs_up_leaves_no_task_that_runs_nowhere() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    // From less than the host takes to store a job to more, on any machine.
    let input = json!({ "filter": "reduce range(3000) as $n (0; . + $n)" });
    let body = json!({ "executor": "transform_executor", "inputs": input }).to_string();
    serving.submit("?wait=60", &serde_json::from_str(&body).unwrap()).is(200);
    for patience in (0..HANG_UPS).map(|n| Duration::from_micros(100 * (n % 200) + 1)) {
        let mut stream = serving.send(&format!(
            "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            serving.token(),
            body.len()
        ));
        stream.set_read_timeout(Some(patience)).unwrap();
        // It is answered, or nobody waits for that any more.
        stream.read(&mut [0; 1]).unwrap_or_default();
    }
    let found = all_ended(&serving);
    assert!(found.values().all(|state| state == "completed"), "{found:?}");
    assert_eq!(serving.stop(), Some(0));
    host.run(&["doctor"]).succeeds();
}

/// Submits from several clients until so many jobs were accepted in all, and then has the host
/// killed under their hands.
fn submit_until(
    serving: &Serving<'_>,
    accepted: &Mutex<BTreeSet<String>>,
    goal: usize,
    is_killed: bool,
) {
    let count = AtomicUsize::new(accepted.lock().unwrap().len());
    let body = json!({ "executor": "behaves" }).to_string();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let submit =
                    || serving.try_ask("POST /api/v1/jobs", Some(serving.token()), body.as_bytes());
                while is_killed || count.load(Ordering::SeqCst) < goal {
                    let Some(answer) = submit() else { return };
                    let id = answer.is(202).json()["id"].as_str().unwrap().to_owned();
                    accepted.lock().unwrap().insert(id);
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        if is_killed {
            serving.until(|| count.load(Ordering::SeqCst) >= goal);
            serving.strike();
        }
    });
}

/// Waits until no job goes on, and answers the state of each.
fn all_ended(serving: &Serving<'_>) -> BTreeMap<String, String> {
    let start = Instant::now();
    let goes_on = |state: &str| {
        let listed = serving.get(&format!("/api/v1/jobs?limit=1&state={state}")).is(200).json();
        !listed["jobs"].as_array().unwrap().is_empty()
    };
    while goes_on("pending") || goes_on("running") {
        assert!(start.elapsed() < PATIENCE, "some jobs do not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (mut found, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = serving.get(&format!("/api/v1/jobs?limit=1000{cursor}")).is(200).json();
        for job in page["jobs"].as_array().unwrap() {
            let text = |key: &str| job[key].as_str().unwrap().to_owned();
            found.insert(text("id"), text("state"));
        }
        let Value::String(next) = &page["cursor"] else { return found };
        cursor = format!("&cursor={next}");
    }
}
