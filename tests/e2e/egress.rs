//! The only way out: what `rest_executor` reaches, and what it does not.

use serde_json::{Value, json};

use crate::guests::CALLS_UNLISTED_HOSTS;
use crate::host::{Ended, TestHost};
use crate::server::{Reply, Server};

#[test]
fn a_granted_request_brings_status_headers_and_json() {
    let server = Server::start(|_| Reply::json(&json!({ "parts": 7 })).with("X-Flavour", "sour"));
    let input = json!({
        "url": server.url("/items?a=b"),
        "method": "POST",
        "headers": { "Authorization": "Bearer secret" },
        "json": { "name": "bolt" },
    });
    let task = request(&TestHost::new(), &input, &[&server.origin()]).succeeds().json();
    assert_eq!(task["output"]["status"], 200);
    assert_eq!(task["output"]["headers"]["x-flavour"], "sour");
    assert_eq!(task["output"]["json"], json!({ "parts": 7 }));
    assert_eq!(task["usage"]["http_requests"], 1);
    let hits = server.hits();
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].method.as_str(), hits[0].path.as_str()), ("POST", "/items?a=b"));
    assert_eq!(hits[0].headers["authorization"], "Bearer secret");
    let key = &hits[0].headers["idempotency-key"];
    assert!(key.starts_with("h_") && key.ends_with(task["id"].as_str().unwrap()), "{key}");
    assert_eq!(serde_json::from_slice::<Value>(&hits[0].body).unwrap(), json!({ "name": "bolt" }));
}

#[test]
fn without_a_grant_nothing_reaches_the_server_and_the_grant_is_named() {
    let server = untouched();
    let host = TestHost::new();
    let input = json!({ "url": server.url("/") }).to_string();
    let grant = format!("--grant http={}", server.origin());
    host.run(&["run", "rest_executor", "--input", &input]).exits(3).says(&[
        "error[capability-denied]: ",
        &grant,
        "explain capability-denied",
    ]);
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_grant_of_load_holds_until_another_load_says_otherwise() {
    let server = Server::start(|_| Reply::status(204));
    let host = TestHost::new();
    let input = json!({ "url": server.url("/") });
    let grant = format!("http={}", server.origin());
    host.run(&["load", "rest_executor", "--grant", &grant]).succeeds();
    request(&host, &input, &[]).succeeds();
    host.run(&["load", "rest_executor"]).succeeds();
    request(&host, &input, &[]).succeeds();
    host.run(&["load", "rest_executor", "--grant", "none"]).succeeds();
    request(&host, &input, &[]).exits(3);
    assert_eq!(server.hits().len(), 2);
}

#[test]
fn a_grant_of_one_run_does_not_help_the_next() {
    let server = Server::start(|_| Reply::status(204));
    let host = TestHost::new();
    let input = json!({ "url": server.url("/") });
    request(&host, &input, &[&server.origin()]).succeeds();
    request(&host, &input, &[]).exits(3);
    assert_eq!(server.hits().len(), 1);
}

#[test]
fn a_grant_of_another_port_scheme_or_name_does_not_help() {
    let server = untouched();
    let host = TestHost::new();
    let port = server.port();
    let other = if port == u16::MAX { port - 1 } else { port + 1 };
    for grant in [
        format!("http://127.0.0.1:{other}"),
        "http://127.0.0.1".to_owned(),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.2:{port}"),
    ] {
        denied(&host, &server.url("/"), &grant);
    }
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_star_never_grants_a_private_address() {
    let server = untouched();
    let host = TestHost::new();
    let port = server.port();
    for host_name in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        denied(&host, &format!("http://{host_name}:{port}/"), "http://*:*");
    }
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_name_that_leads_to_a_private_address_is_refused_although_it_is_granted() {
    let server = untouched();
    let host = TestHost::new();
    CALLS_UNLISTED_HOSTS.load(&host, "capabilities: { http: [\"http://*:*\"] }");
    // No addresses to a reader of patterns, but 127.0.0.1 to the resolver of the system.
    for name in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
        let authority = format!("{name}:{}", server.port());
        let task = call(&host, &[&authority], &format!("http://{authority}")).succeeds().json();
        let text = task["output"]["stdout"].as_str().unwrap();
        assert!(text.contains("out of reach: ErrorCode::DestinationIpProhibited"), "{text}");
    }
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_name_is_no_other_way_to_a_granted_address() {
    let server = untouched();
    let host = TestHost::new();
    denied(&host, &format!("http://localhost:{}/", server.port()), &server.origin());
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_redirect_must_be_granted_like_the_first_request() {
    let target = untouched();
    let to = target.url("/stolen");
    let server = Server::start(move |_| Reply::status(302).with("Location", to.clone()));
    let host = TestHost::new();
    let input = json!({ "url": server.url("/"), "headers": { "Authorization": "Bearer secret" } });
    let task = request(&host, &input, &[&server.origin()]).exits(3).json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("--grant http={}", target.origin())), "{message}");
    assert_eq!((server.hits().len(), target.hits().len()), (1, 0));
}

#[test]
fn a_granted_redirect_to_another_origin_loses_its_secrets() {
    let target = Server::start(|_| Reply::json(&json!("found")));
    let to = target.url("/moved");
    let server = Server::start(move |_| Reply::status(302).with("Location", to.clone()));
    let host = TestHost::new();
    let headers = json!({ "Authorization": "Bearer secret", "X-Api-Key": "k", "Accept": "text/x" });
    let input = json!({ "url": server.url("/"), "headers": headers });
    let task = request(&host, &input, &[&server.origin(), &target.origin()]).succeeds().json();
    assert_eq!(task["output"]["json"], "found");
    let hit = target.hits().remove(0);
    assert_eq!(hit.headers.get("accept").map(String::as_str), Some("text/x"));
    assert!(!hit.headers.contains_key("authorization") && !hit.headers.contains_key("x-api-key"));
}

#[test]
fn a_circle_of_redirects_ends() {
    let server = Server::start(|_| Reply::status(302).with("Location", "/again"));
    let host = TestHost::new();
    request(&host, &json!({ "url": server.url("/") }), &[&server.origin()]).exits(1);
    assert_eq!(server.hits().len(), 6, "the request and five redirects");
}

#[test]
fn a_guest_without_manners_gets_no_further() {
    let (granted, other) = (untouched(), untouched());
    let host = TestHost::new();
    CALLS_UNLISTED_HOSTS.load(&host, "capabilities: { http: [\"http://127.0.0.1:*\"] }");
    let (granted_at, other_at) = (authority(&granted), authority(&other));
    let user = format!("user@{granted_at}");
    let tricks = [other_at.as_str(), "example.com", "169.254.169.254", &user, &granted_at];
    let task = call(&host, &tricks, &granted.origin()).succeeds().json();
    let text = task["output"]["stdout"].as_str().unwrap();
    assert_eq!(text.matches("was out of reach").count(), 4, "{text}");
    assert!(text.contains(&format!("{granted_at} answered 200")), "{text}");
    assert_eq!((granted.hits().len(), other.hits().len()), (1, 0));
    assert_eq!(task["usage"]["http_requests"], 1);
}

#[test]
fn a_request_over_the_limit_is_not_sent() {
    let server = untouched();
    let host = TestHost::new();
    let asks = "capabilities: { http: [\"http://127.0.0.1:*\"] }\nlimits: { http_requests: 3 }";
    CALLS_UNLISTED_HOSTS.load(&host, asks);
    let authority = authority(&server);
    let task = call(&host, &[authority.as_str(); 5], &server.origin()).succeeds().json();
    let text = task["output"]["stdout"].as_str().unwrap();
    assert_eq!(text.matches("answered 200").count(), 3, "{text}");
    assert_eq!(text.matches("was out of reach").count(), 2, "{text}");
    assert_eq!((server.hits().len(), &task["usage"]["http_requests"]), (3, &json!(3)));
}

#[test]
fn an_answer_with_more_headers_than_are_read_fails_the_task() {
    let host = TestHost::new();
    for (count, bytes) in [(200, 10), (1, 200 << 10), (100, 2 << 10), (90, 1 << 10)] {
        let server = Server::start(move |_| {
            (0..count).fold(Reply::status(204), |reply, _| reply.with("X-Many", "x".repeat(bytes)))
        });
        let task = request(&host, &json!({ "url": server.url("/") }), &[&server.origin()]).exits(1);
        let fault = &task.json()["fault"];
        assert_eq!(fault["code"], "limit-exceeded", "{fault}");
        let message = fault["message"].as_str().unwrap();
        assert!(
            message.contains("64 KiB") && message.contains("`limits.http_headers`"),
            "{message}"
        );
    }
    let server = Server::start(|_| {
        (0..100).fold(Reply::status(204), |reply, _| reply.with("X-Many", "x".repeat(100)))
    });
    request(&host, &json!({ "url": server.url("/") }), &[&server.origin()]).succeeds();
}

#[test]
fn an_answer_that_is_cut_short_can_be_tried_again() {
    let server = Server::start(|_| Reply::text(200, "half").with("Content-Length", "1000"));
    let task = request(&TestHost::new(), &json!({ "url": server.url("/") }), &[&server.origin()]);
    let task = task.exits(1).json();
    assert_eq!(task["fault"]["code"], "retryable", "{task:#}");
}

#[test]
fn a_server_that_is_not_there_can_be_tried_again() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = format!("http://{gone}");
    let task = request(&TestHost::new(), &json!({ "url": origin }), &[&origin]).exits(1).json();
    assert_eq!(task["fault"]["code"], "retryable", "{task:#}");
}

#[test]
fn a_status_that_will_not_change_fails_with_what_the_server_said() {
    let server = Server::start(|_| Reply::text(404, "no such part"));
    let task = request(&TestHost::new(), &json!({ "url": server.url("/") }), &[&server.origin()])
        .exits(1)
        .json();
    assert_eq!(task["fault"]["code"], "permanent");
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains("404") && message.contains("no such part"), "{message}");
}

#[test]
fn a_grant_of_a_method_and_a_path_is_for_these_alone() {
    let server = untouched();
    let host = TestHost::new();
    let grant = format!("GET {}/v1", server.origin());
    for path in ["/v1", "/v1/items?q=1", "/v1/../v1/x"] {
        request(&host, &json!({ "url": server.url(path) }), &[&grant]).succeeds();
    }
    for (method, path) in [("POST", "/v1"), ("GET", "/v10"), ("GET", "/"), ("HEAD", "/v1")] {
        let input = json!({ "url": server.url(path), "method": method });
        let task = request(&host, &input, &[&grant]).exits(3).json();
        let message = task["fault"]["message"].as_str().unwrap();
        let missing = format!("--grant 'http={method} {}{path}", server.origin());
        assert!(message.contains(missing.trim_end_matches('/')), "{message}");
    }
    let paths: Vec<String> = server.hits().into_iter().map(|hit| hit.path).collect();
    assert_eq!(paths, ["/v1", "/v1/items?q=1", "/v1/x"]);
}

#[test]
fn no_dots_lead_out_of_a_granted_path() {
    let server = untouched();
    let host = TestHost::new();
    CALLS_UNLISTED_HOSTS.load(&host, "capabilities: { http: [\"http://127.0.0.1:*/v1\"] }");
    let paths = [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/.%2E/admin",
        "/v1/./../admin",
        "/v1//../../admin",
        "/v1/%2e%2e%2fadmin",
        "/v1/..%5cadmin",
        "/v1\\..\\admin",
    ];
    let targets = paths.map(|path| format!("{}{path}", authority(&server)));
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let task = call(&host, &targets, &format!("{}/v1", server.origin())).succeeds().json();
    let text = task["output"]["stdout"].as_str().unwrap();
    assert_eq!(text.matches("was out of reach").count(), paths.len(), "{text}");
    assert_eq!(server.hits().len(), 0);
}

#[test]
fn a_range_opens_private_addresses_to_what_is_granted_by_name() {
    let server = untouched();
    let host = TestHost::new();
    CALLS_UNLISTED_HOSTS.load(&host, "capabilities: { http: [\"http://*:*\"] }");
    // No address to a reader of patterns, but 127.0.0.1 to the resolver of the system.
    let input = json!({ "args": [format!("127.1:{}", server.port())] }).to_string();
    let reached = |net: &str| {
        let name = CALLS_UNLISTED_HOSTS.name();
        let arguments = ["run", name, "--json", "--input", &input];
        let grants = ["--grant", "http=http://*:*", "--grant", net];
        let task = host.run(&[&arguments[..], &grants].concat()).succeeds().json();
        task["output"]["stdout"].as_str().unwrap().contains("answered 200")
    };
    assert!(!reached("net=10.0.0.0/8"));
    assert!(!reached("net=localhost"));
    assert!(reached("net=127.0.0.0/8"));
    assert!(reached("net=127.0.0.1"));
    assert_eq!(server.hits().len(), 2);
}

#[test]
fn a_redirect_to_a_private_address_is_refused_although_every_name_is_granted() {
    let target = untouched();
    let to = format!("http://localhost:{}/stolen", target.port());
    let server = Server::start(move |_| Reply::status(302).with("Location", to.clone()));
    let host = TestHost::new();
    let grants = [server.origin(), "http://*:*".to_owned()];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let task = request(&host, &json!({ "url": server.url("/") }), &grants).exits(3).json();
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains("of localhost, which is not public, was refused"), "{message}");
    assert_eq!((server.hits().len(), target.hits().len()), (1, 0));
}

/// A server that nobody may reach.
fn untouched() -> Server {
    Server::start(|_| Reply::json(&json!("reached")))
}

fn authority(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port())
}

/// Lets a guest call these authorities, with one destination granted.
fn call(host: &TestHost, authorities: &[&str], origin: &str) -> Ended {
    let input = json!({ "args": authorities }).to_string();
    let grant = format!("http={origin}");
    let name = CALLS_UNLISTED_HOSTS.name();
    host.run(&["run", name, "--json", "--input", &input, "--grant", &grant])
}

/// Runs one request with these destinations granted.
fn request(host: &TestHost, input: &Value, origins: &[&str]) -> Ended {
    let input = input.to_string();
    let grants: Vec<String> = origins.iter().map(|origin| format!("http={origin}")).collect();
    let mut arguments = vec!["run", "rest_executor", "--json", "--input", &input];
    for grant in &grants {
        arguments.extend(["--grant", grant]);
    }
    host.run(&arguments)
}

/// Fails unless a request with this grant is refused for want of another.
#[track_caller]
fn denied(host: &TestHost, url: &str, origin: &str) {
    let task = request(host, &json!({ "url": url }), &[origin]).exits(3).json();
    assert_eq!(task["fault"]["code"], "capability-denied", "{url} by {origin}: {task:#}");
}
