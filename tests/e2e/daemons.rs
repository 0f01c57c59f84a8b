//! `daemon`: a server in the background, that is found by its lock and stopped for sure.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::TestHost;

/// The longest that a test waits for something.
const PATIENCE: Duration = Duration::from_mins(1);

/// A host whose daemon is stopped when the test is over.
struct Background(TestHost);

impl Background {
    fn start(more: &[&str]) -> (Self, Value) {
        let host = Self(TestHost::new());
        let arguments = [&["daemon", "start", "--port", "0", "--json"], more].concat();
        let told = host.0.run(&arguments).succeeds().json();
        (host, told)
    }

    fn status(&self) -> Value {
        let told = self.0.run(&["daemon", "status", "--json"]);
        assert!(matches!(told.code, Some(0 | 1)), "{told:?}");
        told.json()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.run(&["daemon", "stop", "--timeout", "0"]);
    }
}

fn ends(process: &Value) {
    let began = Instant::now();
    while fs::exists(format!("/proc/{process}/exe")).unwrap_or(false) {
        assert!(began.elapsed() < PATIENCE, "{process} goes on");
        std::thread::yield_now();
    }
}

#[test]
fn a_daemon_answers_when_start_returns_and_is_gone_when_stop_does() {
    let (host, told) = Background::start(&[]);
    assert_eq!((&told["running"], host.0.jobs().len()), (&Value::Bool(true), 0));
    let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    std::net::TcpStream::connect(&address).unwrap();
    assert_eq!(host.status(), told);
    let again = host.0.run(&["daemon", "start", "--json"]).succeeds();
    assert_eq!(again.json()["pid"], told["pid"], "there is one already");
    let log = host.0.run(&["daemon", "logs", "-n", "1000"]).succeeds().stdout;
    assert!(log.contains("listening on http://127.0.0.1:"), "{log}");
    host.0.run(&["daemon", "stop"]).succeeds();
    ends(&told["pid"]);
    assert_eq!(host.status()["running"], false);
    assert!(TcpListener::bind(&address).is_ok(), "the port is free");
    let none = host.0.run(&["daemon", "stop"]).succeeds();
    assert_eq!(none.stdout, "no daemon runs\n");
    host.0.run(&["daemon", "status"]).exits(1);
}

#[test]
fn a_daemon_that_was_killed_is_not_there_whoever_has_its_number() {
    let (host, told) = Background::start(&[]);
    let killed = Command::new("kill").args(["-9", &told["pid"].to_string()]).status().unwrap();
    assert!(killed.success());
    ends(&told["pid"]);
    // Its memory goes before its files, and with these its lock.
    let began = Instant::now();
    while host.status()["running"] == true {
        assert!(began.elapsed() < PATIENCE, "it is told as running");
    }
    // As if its number had been given to another.
    let mut other = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let lock = host.0.data().join("daemon.lock");
    let said = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, said.replace(&told["pid"].to_string(), &other.id().to_string())).unwrap();
    assert_eq!(host.0.run(&["daemon", "stop"]).succeeds().stdout, "no daemon runs\n");
    assert!(other.try_wait().unwrap().is_none(), "the other process goes on");
    other.kill().unwrap();
    other.wait().unwrap();
    host.0.run(&["daemon", "start", "--port", "0"]).succeeds();
}

#[test]
fn a_daemon_that_does_not_start_says_why() {
    let host = Background(TestHost::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = host.0.run(&["daemon", "start", "--port", &port]).exits(1);
    ended.says(&["the daemon did not start", &format!("127.0.0.1:{port}"), "in use", "daemon.log"]);
    let ended = host.0.run(&["daemon", "start", "--host", "0.0.0.0"]).exits(1);
    ended.says(&["tokens would cross the network"]);
    assert_eq!(host.status()["running"], false);
}

#[test]
fn a_daemon_starts_anew_as_it_was_started() {
    let (host, told) = Background::start(&["--", "--no-dispatch"]);
    let anew = host.0.run(&["daemon", "restart", "--json"]).succeeds().json();
    assert_ne!(anew["pid"], told["pid"]);
    let lock = fs::read_to_string(host.0.data().join("daemon.lock")).unwrap();
    let said: Value = serde_json::from_str(&lock).unwrap();
    assert_eq!(said["arguments"], serde_json::json!(["--port", "0", "--no-dispatch"]));
}
