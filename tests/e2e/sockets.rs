//! Raw sockets: by granted addresses alone.

use serde_json::{Value, json};

use crate::echo::Echo;
use crate::guests::{Guest, LISTENS_FOR_CALLERS, OPENS_A_SOCKET, SENDS_DATAGRAMS};
use crate::host::TestHost;

#[test]
fn a_socket_reaches_granted_addresses_alone() {
    let (granted, other) = (Echo::start(), Echo::start());
    let addresses = [other.at("127.0.0.1"), granted.at("127.0.0.1")];
    let grant = format!("sockets={}", addresses[1]);
    let (task, _) = run(OPENS_A_SOCKET, "", &grant, &[&addresses[0], &addresses[1]]);
    let text = task["output"]["stdout"].as_str().unwrap();
    assert!(text.contains(&format!("{} was out of reach: ", addresses[0])), "{text}");
    assert!(text.contains(&format!("{} answered pong", addresses[1])), "{text}");
    assert_eq!((other.calls(), granted.calls()), (0, 1));
    assert_eq!(task["usage"]["connections"], 1);
}

#[test]
fn sockets_that_are_not_granted_are_refused_with_the_grant() {
    let fault = refused(OPENS_A_SOCKET, "sockets=10.0.0.1:1", &["127.0.0.1:9"]);
    assert!(fault.contains("allow it with `--grant sockets=127.0.0.1:9`"), "{fault}");
}

#[test]
fn a_socket_knows_no_names() {
    let echo = Echo::start();
    let fault = refused(OPENS_A_SOCKET, "sockets=127.0.0.0/8:*", &[&echo.at("localhost")]);
    assert!(fault.contains("looking up `localhost` was refused"), "{fault}");
    assert_eq!(echo.calls(), 0);
}

#[test]
fn a_socket_over_the_limit_of_connections_is_not_opened() {
    let echo = Echo::start();
    let to = echo.at("127.0.0.1");
    let (limits, grant) = ("limits: { connections: 2 }", format!("sockets={to}"));
    let (task, _) = run(OPENS_A_SOCKET, limits, &grant, &[&to, &to, &to]);
    assert_eq!(task["fault"]["code"], "limit-exceeded", "{task:#}");
    assert!(
        task["fault"]["message"].as_str().unwrap().contains("`limits.connections`"),
        "{task:#}"
    );
    assert_eq!((echo.calls(), &task["usage"]["connections"]), (2, &json!(2)));
}

#[test]
fn no_grant_lets_a_guest_listen_or_send_datagrams() {
    let fault = refused(LISTENS_FOR_CALLERS, "sockets=0.0.0.0/0:*", &[]);
    assert!(fault.contains("plugins connect, and do not listen"), "{fault}");
    let fault = refused(SENDS_DATAGRAMS, "sockets=0.0.0.0/0:*", &[]);
    assert!(fault.contains("a socket for UDP was refused"), "{fault}");
}

/// Lets a guest try, and fails unless it is refused. Returns the words.
#[track_caller]
fn refused(guest: Guest, grant: &str, args: &[&str]) -> String {
    let (task, code) = run(guest, "", grant, args);
    assert_eq!((code, &task["fault"]["code"]), (Some(3), &json!("capability-denied")), "{task:#}");
    task["fault"]["message"].as_str().unwrap().to_owned()
}

fn run(guest: Guest, limits: &str, grant: &str, args: &[&str]) -> (Value, Option<i32>) {
    let host = TestHost::new();
    let asks = "capabilities: { fs: { in: read }, clocks: true, sockets: [\"0.0.0.0/0:*\"] }";
    guest.load(&host, &format!("{asks}\n{limits}"));
    let input = json!({ "args": args }).to_string();
    let ended = host.run(&["run", guest.name(), "--json", "--input", &input, "--grant", grant]);
    (ended.json(), ended.code)
}
