//! Jobs that are watched: over HTTP as a stream or in pages, and on the command line.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guests::{FLOODS_STDOUT, FLOODS_THE_LOG, TALKS_AND_WAITS};
use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::Serving;
use crate::stream::{EventStream, Message};

/// Much less than the host grants open requests at its end.
const SOON: Duration = Duration::from_secs(2);

/// Longer than a watcher may take nothing, and shorter than any client may.
const STALL: Duration = Duration::from_secs(25);

#[test]
fn a_late_watcher_gets_the_whole_history_and_its_end() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let job = json!({ "tasks": [
            transform("good", "1"), transform("bad", "error(\"no\")"),
            { "id": "after", "executor": "transform_executor", "dependencies": ["bad"],
              "inputs": { "filter": "1" } },
        ] });
        let job = serving.submit("?wait=30", &job).is(200).json();
        let id = id(&job);
        let (messages, last) = EventStream::open(&serving, id, "", None).all();
        assert_eq!((last.event.as_str(), &last.data), ("end", &json!({ "after": messages.len() })));
        check(&messages, 1);
        agree(&messages, &job);
        let listed = list(&serving, id);
        assert!(messages.iter().map(|message| &message.data).eq(&listed));
        let watched = host.run(&["jobs", "watch", id, "--json"]).exits(1);
        let lines: Vec<Value> =
            watched.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, listed);
        let rest = host.run(&["jobs", "watch", id, "--after", "3"]).exits(1);
        assert_eq!(rest.stdout.lines().count(), listed.len() - 3, "{}", rest.stdout);
        assert!(rest.stdout.contains(" after       skipped"), "{}", rest.stdout);
    }
}

#[test]
fn a_task_is_watched_to_its_end_and_no_further() {
    for host in TestHost::on_each_database() {
        let job = json!([transform("good", "1"), transform("bad", "error(\"no\")")]).to_string();
        let job = host.run(&["run", "batch", "--json", "--tasks", &job]).exits(1).json();
        let task = |n: usize| job["tasks"][n]["id"].as_str().unwrap().to_owned();
        let watch = |task: &str, more: &[&str], code| {
            let watched = host.run(&[&["tasks", "watch", task, "--json"], more].concat());
            let lines = watched.exits(code).stdout;
            let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
            lines.lines().map(read).collect::<Vec<_>>()
        };
        let direct = (watch(&task(0), &[], 0), watch(&task(1), &[], 1));
        assert!(direct.0.iter().all(|event| event["task_id"] == *task(0)), "{direct:?}");
        assert_eq!(direct.0.last().unwrap()["data"]["state"], "completed");
        assert_eq!(direct.1.last().unwrap()["data"]["state"], "failed");
        let serving = Serving::start(&host);
        assert_eq!((watch(&task(0), &[], 0), watch(&task(1), &[], 1)), direct);
        // Its second life is watched as well, to its second end.
        host.run(&["tasks", "retry", &task(1)]).succeeds();
        serving.ended(id(&job));
        let both = watch(&task(1), &[], 1);
        let ends = both.iter().filter(|event| event["data"]["state"] == "failed").count();
        assert_eq!((ends, &both[..direct.1.len()]), (2, &direct.1[..]), "{both:?}");
        let n = direct.1.last().unwrap()["n"].to_string();
        assert_eq!(watch(&task(1), &["--after", &n], 1), both[direct.1.len()..]);
        host.run(&["tasks", "watch", "t_0000000000000"]).exits(1).says(&["unknown-task"]);
    }
}

#[test]
fn a_task_is_watched_while_its_job_goes_on() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (release, held) = hold();
    let id = submit_held(&serving, &held);
    let job = serving.get(&format!("/api/v1/jobs/{id}")).is(200).json();
    let before = job["tasks"][0]["id"].as_str().unwrap();
    let watched = host.run(&["tasks", "watch", before]).succeeds().stdout;
    assert!(watched.contains(" before       completed"), "{watched}");
    drop(release);
    serving.ended(&id);
}

#[test]
fn a_client_that_comes_back_goes_on_where_it_was() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let (release, held) = hold();
        let id = submit_held(&serving, &held);
        let mut first = EventStream::open(&serving, &id, "", None);
        let mut messages: Vec<_> = (0..4).map(|_| first.next().unwrap()).collect();
        drop(first);
        // What the address says is older than what the client saw.
        let mut second = EventStream::open(&serving, &id, "?after=1", Some(4));
        messages.push(second.next().unwrap());
        drop(release);
        let (rest, last) = second.all();
        messages.extend(rest);
        assert_eq!(last.event, "end");
        check(&messages, 1);
        agree(&messages, &serving.ended(&id));
    }
}

#[test]
fn two_hundred_watchers_see_the_same() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (release, held) = hold();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            json!({ "id": n.to_string(), "executor": "transform_executor",
                    "dependencies": ["held"], "inputs": { "filter": ".", "input": n } })
        })
        .chain([held_task(&held)])
        .collect();
    let job = json!({ "tasks": tasks });
    let grant = format!("http={}", held.origin());
    host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    let job = serving.submit("", &job).is(202).json();
    let id = id(&job);
    let streams =
        (0..200).map(|after| EventStream::open(&serving, id, &format!("?after={after}"), None));
    let streams: Vec<_> = streams.collect();
    drop(release);
    let watching: Vec<_> =
        streams.into_iter().map(|stream| std::thread::spawn(move || stream.all())).collect();
    let mut watched = watching.into_iter().map(|thread| thread.join().unwrap().0);
    let all = watched.next().unwrap();
    check(&all, 1);
    agree(&all, &serving.ended(id));
    for (seen, after) in watched.zip(1..) {
        assert!(seen == all[after..], "the watcher after {after} saw something else");
    }
}

#[test]
fn a_host_that_ends_closes_its_streams_with_a_word() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    let mut streams: Vec<_> = (0..10).map(|_| EventStream::open(&serving, &id, "", None)).collect();
    assert!(streams.iter_mut().all(|stream| stream.next().unwrap().id == Some(1)));
    let start = Instant::now();
    serving.ask_to_end();
    for mut stream in streams {
        let closing =
            Message { id: None, event: "closing".to_owned(), data: json!({ "after": 1 }) };
        assert_eq!(stream.next(), Some(closing));
        assert_eq!(stream.next(), None);
    }
    assert_eq!(serving.wait(), Some(0));
    assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
}

#[test]
fn a_job_is_followed_beside_the_host_that_runs_it() {
    let host = TestHost::new();
    TALKS_AND_WAITS.load(&host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
    let serving = Serving::start(&host);
    let job = serving.submit("", &json!({ "executor": TALKS_AND_WAITS.name() })).is(202).json();
    let mut watch = host.command();
    watch.args(["jobs", "watch", id(&job)]).stdout(Stdio::piped());
    let mut child = watch.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("  out second ")));
    host.run(&["jobs", "cancel", id(&job)]).succeeds();
    assert!(lines.any(|line| line.contains("cancelled")));
    assert_eq!(child.wait().unwrap().code(), Some(5));
    host.run(&["jobs", "watch", "j_0000000000000"]).exits(1).says(&["error[unknown-job]: "]);
}

#[test]
fn a_flood_of_lines_is_watched_without_a_gap() {
    let host = TestHost::new();
    FLOODS_THE_LOG.load(&host, "limits: { log: 2MiB, timeout: 20s }");
    let serving = Serving::start(&host);
    let task = json!({ "executor": FLOODS_THE_LOG.name(), "max_attempts": 1 });
    let job = serving.submit("", &task).is(202).json();
    let mut stream = EventStream::open(&serving, id(&job), "", None);
    let mut messages = Vec::new();
    let is_full = |message: &Message| {
        let said = message.data["data"]["message"].as_str();
        said.is_some_and(|said| said.starts_with("the log is full"))
    };
    while !messages.last().is_some_and(is_full) {
        messages.push(stream.next().unwrap());
    }
    let cancel = format!("POST /api/v1/jobs/{}/cancel", id(&job));
    serving.ask(&cancel, Some(serving.token()), b"").is(200);
    messages.extend(stream.all().0);
    check(&messages, 1);
    assert!(messages.len() > (2 << 20) / 100, "{} events", messages.len());
    agree(&messages, &serving.ended(id(&job)));
}

#[test]
fn a_client_that_takes_nothing_is_shed_and_can_come_back() {
    let host = TestHost::new();
    FLOODS_STDOUT.load(&host, "limits: { stdout: 32MiB, timeout: 5m }");
    let serving = Serving::start(&host);
    let task = json!({ "executor": FLOODS_STDOUT.name(), "max_attempts": 1 });
    let job = serving.submit("?wait=120", &task).is(200).json();
    // The stream is longer than all that the system keeps between the two.
    let slow = EventStream::open(&serving, id(&job), "", None);
    // Being slow is what is tested.
    std::thread::sleep(STALL);
    let (mut messages, last) = slow.all();
    assert_eq!((last.event.as_str(), &last.data), ("shed", &json!({ "after": messages.len() })));
    let (rest, last) = EventStream::open(&serving, id(&job), "", Some(messages.len() as u64)).all();
    assert_eq!(last.event, "end");
    assert!(!rest.is_empty());
    messages.extend(rest);
    check(&messages, 1);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let id = submit_waiting(&serving);
    let stream = |query: &str, header: &str, token: &str| {
        let head = format!(
            "GET /api/v1/jobs/{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n{header}\r\n"
        );
        crate::serving::Answer::read(serving.send(&head)).unwrap()
    };
    let token = serving.token();
    stream(&format!("{id}/events"), "", "apf_").problem(401, "unauthorized");
    stream("j_0000000000000/events", "", token).problem(404, "unknown-job");
    for (query, header) in
        [("?after=no", ""), ("?after=-1", ""), ("?limit=3", ""), ("", "Last-Event-ID: no\r\n")]
    {
        let refused = stream(&format!("{id}/events{query}"), header, token);
        refused.problem(400, "invalid-request");
    }
    serving.get("/api/v1/jobs/j_0000000000000/events").problem(404, "unknown-job");
    for query in ["limit=0", "limit=1001", "after=no", "before=1"] {
        let refused = serving.get(&format!("/api/v1/jobs/{id}/events?{query}"));
        refused.problem(400, "invalid-request");
    }
    let page = serving.get(&format!("/api/v1/jobs/{id}/events")).is(200).json();
    assert_eq!((page["events"][0]["n"].as_u64(), &page["next"]), (Some(1), &json!(1)));
}

#[test]
fn who_does_not_ask_for_json_gets_a_stream() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let job = serving.submit("?wait=30", &transform("a", "1")).is(200).json();
    let events = format!("/api/v1/jobs/{}/events", job["id"].as_str().unwrap());
    let asked = |query: &str, accept: &str| {
        serving.exchange(&format!(
            "GET {events}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nAccept: {accept}\r\n\r\n",
            serving.token()
        ))
    };
    let stream = asked("?after=1", "*/*");
    assert!(stream.contains("content-type: text/event-stream\r\n"), "{stream}");
    assert!(!stream.contains("id: 1\n") && stream.contains("id: 2\n"), "{stream}");
    assert!(stream.contains("event: end\n"), "{stream}");
    for (query, accept) in [("", "application/json"), ("?limit=1", "*/*")] {
        let page = asked(query, accept);
        assert!(page.contains("content-type: application/json\r\n"), "{page}");
    }
}

fn transform(id: &str, filter: &str) -> Value {
    json!({ "id": id, "executor": "transform_executor", "inputs": { "filter": filter },
            "max_attempts": 1 })
}

/// A server that answers nobody before its sender is dropped.
fn hold() -> (std::sync::mpsc::Sender<()>, Server) {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = Server::start(move |_| {
        // Until the test lets go.
        _ = held.lock().unwrap().recv();
        Reply::json(&json!({}))
    });
    (release, server)
}

fn held_task(server: &Server) -> Value {
    json!({ "id": "held", "executor": "rest_executor", "inputs": { "url": server.url("/") } })
}

/// Submits a task that waits for the server, and one that waits for that task.
fn submit_held(serving: &Serving<'_>, server: &Server) -> String {
    let grant = format!("http={}", server.origin());
    serving.host().run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    let job = json!({ "tasks": [
        transform("before", "1"), held_task(server),
        { "id": "after", "executor": "transform_executor", "dependencies": ["held", "before"],
          "inputs": { "filter": "1" } },
    ] });
    id(&serving.submit("", &job).is(202).json()).to_owned()
}

/// Submits a task that does not start while a test runs.
fn submit_waiting(serving: &Serving<'_>) -> String {
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" },
                      "run_at": "2999-01-01T00:00:00Z" });
    id(&serving.submit("", &job).is(202).json()).to_owned()
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

/// Every event of a job that has ended, read in small pages.
fn list(serving: &Serving<'_>, id: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/api/v1/jobs/{id}/events?limit=2&after={after}");
        let mut page = serving.get(&path).is(200).json();
        events.append(page["events"].as_array_mut().unwrap());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => return events,
        }
    }
}

/// Fails unless these are the events of a job from this number on, each once and in order.
#[track_caller]
fn check(messages: &[Message], first: u64) {
    for (message, n) in messages.iter().zip(first..) {
        assert_eq!(message.id, Some(n), "{message:?}");
        assert_eq!(message.data["n"], n);
        assert_eq!(message.event, message.data["kind"]);
    }
}

/// Fails unless what the events say of the tasks is what the job says.
#[track_caller]
fn agree(messages: &[Message], job: &Value) {
    let mut tasks = HashMap::new();
    for message in messages.iter().filter(|message| message.event == "state") {
        let task = message.data["task_id"].as_str().unwrap();
        tasks.insert(task, &message.data["data"]);
    }
    for task in job["tasks"].as_array().unwrap() {
        let last = tasks[task["id"].as_str().unwrap()];
        assert_eq!(last["state"], task["state"]);
        if task["state"] == "failed" {
            assert_eq!(last["fault"], task["fault"]);
        }
    }
}
