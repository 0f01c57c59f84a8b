//! TCP by name: what a guest dials, and what it does not.

use serde_json::{Value, json};

use crate::echo::Echo;
use crate::guests::{DIALS, FLOODS_A_CONNECTION, Guest};
use crate::host::{Ended, TestHost};

#[test]
fn a_granted_destination_is_reached() {
    let (host, echo) = (loaded(DIALS, ""), Echo::start());
    for name in ["127.0.0.1", "localhost"] {
        let to = echo.at(name);
        let task = dial(&host, DIALS, &[&to], &[&format!("tcp={to}")]).succeeds().json();
        assert_eq!(task["output"]["stdout"], format!("{to} answered pong\n"));
        // The ping and the pong.
        assert_eq!(
            (&task["usage"]["connections"], &task["usage"]["tcp_bytes"]),
            (&json!(1), &json!(10))
        );
    }
}

#[test]
fn without_a_grant_nothing_is_reached_and_the_grant_is_named() {
    let (host, echo) = (loaded(FLOODS_A_CONNECTION, ""), Echo::start());
    let to = echo.at("127.0.0.1");
    let task = dial(&host, FLOODS_A_CONNECTION, &[&to], &[]).exits(3).json();
    assert_eq!(task["fault"]["code"], "capability-denied");
    assert!(
        says(&task["fault"]["message"], &format!("allow it with `--grant tcp={to}`")),
        "{task:#}"
    );
    assert_eq!(echo.calls(), 0);
}

#[test]
fn the_guest_is_told_what_it_was_refused_and_may_go_on() {
    let (host, echo, other) = (loaded(DIALS, ""), Echo::start(), Echo::start());
    let (granted, refused) = (echo.at("127.0.0.1"), other.at("127.0.0.1"));
    let task = dial(&host, DIALS, &[&refused, &granted], &[&format!("tcp={granted}")]).succeeds();
    let task = task.json();
    let stdout = &task["output"]["stdout"];
    assert!(says(stdout, &format!("{refused} was out of reach: connection denied: ")), "{stdout}");
    assert!(says(stdout, &format!("{granted} answered pong")), "{stdout}");
    assert_eq!((echo.calls(), other.calls()), (1, 0));
}

#[test]
fn what_the_manifest_does_not_ask_for_is_refused_whatever_is_granted() {
    let (host, echo) = (TestHost::new(), Echo::start());
    DIALS.load(&host, "capabilities: { tcp: [\"mail.example:587\"] }");
    let task = dial(&host, DIALS, &[&echo.at("127.0.0.1")], &["tcp=mail.example:587"]).succeeds();
    assert!(says(&task.json()["output"]["stdout"], "does not ask for it under `capabilities.tcp`"));
    assert_eq!(echo.calls(), 0);
}

#[test]
fn a_component_that_dials_unasked_is_refused() {
    let host = TestHost::new();
    DIALS.try_load(&host, "").exits(1).says(&[
        "error[component-refused]: ",
        "`apflow:plugin/dial@0.1.0` needs `capabilities: { tcp: [\"HOST:PORT\"] }`",
    ]);
    host.holds_nothing();
}

#[test]
fn a_star_never_grants_a_private_address_until_a_range_does() {
    let (host, echo) = (loaded(DIALS, ""), Echo::start());
    let names = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1"];
    let destinations: Vec<String> = names.iter().map(|name| echo.at(name)).collect();
    let destinations: Vec<&str> = destinations.iter().map(String::as_str).collect();
    let task = dial(&host, DIALS, &destinations, &["tcp=*:*"]).succeeds().json();
    let stdout = task["output"]["stdout"].as_str().unwrap();
    assert_eq!(stdout.matches("which is not public, was refused").count(), 6, "{stdout}");
    assert!(stdout.contains("--grant net=127.0.0.1"), "{stdout}");
    assert_eq!(echo.calls(), 0);
    let task = dial(&host, DIALS, &[&echo.at("127.1")], &["tcp=*:*", "net=127.0.0.0/8"]).succeeds();
    assert!(says(&task.json()["output"]["stdout"], "answered pong"));
}

#[test]
fn who_does_not_answer_or_speak_tls_is_told_apart() {
    let (host, echo) = (loaded(DIALS, ""), Echo::start());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (gone, secured) = (gone.to_string(), format!("tls:{}", echo.at("127.0.0.1")));
    let destinations = [gone.as_str(), &secured, "no.such.name.invalid:25"];
    let grants = ["tcp=*:*", "net=127.0.0.0/8"];
    let task = dial(&host, DIALS, &destinations, &grants).succeeds().json();
    let stdout = &task["output"]["stdout"];
    for text in ["nobody answers there", "out of reach: no TLS: ", "the name leads nowhere"] {
        assert!(says(stdout, text), "{text}: {stdout}");
    }
}

#[test]
fn a_connection_over_the_limit_is_not_made() {
    let (host, echo) = (loaded(DIALS, "limits: { connections: 2 }"), Echo::start());
    let to = echo.at("127.0.0.1");
    let task = dial(&host, DIALS, &[to.as_str(); 5], &[&format!("tcp={to}")]).succeeds().json();
    let stdout = task["output"]["stdout"].as_str().unwrap();
    assert_eq!(stdout.matches("answered pong").count(), 2, "{stdout}");
    assert_eq!(stdout.matches("too many connections").count(), 3, "{stdout}");
    assert_eq!((echo.calls(), &task["usage"]["connections"]), (2, &json!(2)));
}

#[test]
fn a_guest_that_needs_more_connections_than_it_may_have_fails_with_the_limit() {
    let (host, echo) = (loaded(FLOODS_A_CONNECTION, "limits: { connections: 0 }"), Echo::start());
    let task = flood(&host, &echo);
    assert!(says(&task["fault"]["message"], "more than 0 connections; `limits.connections`"));
}

#[test]
fn a_flood_ends_at_its_limit() {
    let (host, echo) = (loaded(FLOODS_A_CONNECTION, "limits: { tcp_bytes: 1MiB }"), Echo::start());
    let task = flood(&host, &echo);
    let message = &task["fault"]["message"];
    assert!(says(message, "1 MiB") && says(message, "`limits.tcp_bytes`"), "{message}");
    assert!(task["usage"]["tcp_bytes"].as_u64().unwrap() <= 1 << 20, "{task:#}");
}

#[test]
fn a_server_that_stays_silent_is_given_up() {
    let (host, echo) = (loaded(DIALS, "limits: { idle_timeout: 50ms }"), Echo::mute());
    let to = echo.at("127.0.0.1");
    let task = dial(&host, DIALS, &[&to], &[&format!("tcp={to}")]).succeeds().json();
    let stdout = &task["output"]["stdout"];
    assert!(says(stdout, "nothing came for 50 ms; `limits.idle_timeout`"), "{stdout}");
}

/// A host that has this guest, which asks for every destination.
fn loaded(guest: Guest, limits: &str) -> TestHost {
    let host = TestHost::new();
    guest.load(&host, &format!("capabilities: {{ tcp: [\"*:*\"] }}\n{limits}"));
    host
}

/// Lets a guest dial these destinations.
fn dial(host: &TestHost, guest: Guest, destinations: &[&str], grants: &[&str]) -> Ended {
    let input = json!({ "args": destinations }).to_string();
    let mut arguments = vec!["run", guest.name(), "--json", "--input", &input];
    for grant in grants {
        arguments.extend(["--grant", grant]);
    }
    host.run(&arguments)
}

/// Lets a guest flood a server, and fails unless a limit stops it.
#[track_caller]
fn flood(host: &TestHost, echo: &Echo) -> Value {
    let to = echo.at("127.0.0.1");
    let grant = format!("tcp={to}");
    let task = dial(host, FLOODS_A_CONNECTION, &[&to], &[&grant]).exits(1).json();
    assert_eq!(task["fault"]["code"], "limit-exceeded", "{task:#}");
    task
}

fn says(text: &Value, part: &str) -> bool {
    text.as_str().unwrap().contains(part)
}
