//! MCP over HTTP: every request stands for itself, and for the caller whose token it shows.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::callers::Caller;
use crate::guests::TALKS_AND_WAITS;
use crate::host::TestHost;
use crate::serving::{Answer, Serving};
use crate::stream::EventStream;

const ACCEPT: &str =
    "Accept: application/json, text/event-stream\r\nContent-Type: application/json";

/// A request of JSON-RPC.
fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// Posts a message with this token.
fn post(serving: &Serving, path: &str, token: &str, message: &Value) -> Answer {
    let headers = format!("{token}\r\n{ACCEPT}");
    serving.ask(&format!("POST {path}"), Some(&headers), message.to_string().as_bytes())
}

fn list(serving: &Serving, path: &str, token: &str) -> Vec<String> {
    let answer = post(serving, path, token, &request("tools/list", &json!({}))).is(200).json();
    let tools = answer["result"]["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn call(serving: &Serving, token: &str, name: &str, arguments: &Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    let answer = post(serving, "/mcp", token, &request("tools/call", &params)).is(200).json();
    answer["result"].clone()
}

/// Begins a call that is told of its progress.
fn begin(serving: &Serving, name: &str) -> TcpStream {
    let params = json!({ "name": name, "arguments": {}, "_meta": { "progressToken": 1 } });
    let body = request("tools/call", &params).to_string();
    serving.send(&format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{ACCEPT}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        serving.token(),
        body.len()
    ))
}

/// Waits until the guest of a call says something.
fn hear(stream: &mut EventStream) {
    let says =
        |data: &Value| data["params"]["data"].as_str().is_some_and(|said| said.contains("second"));
    while !says(&stream.next().unwrap().data) {}
}

#[test]
fn a_client_needs_no_session() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let hello = post(&serving, "/mcp", serving.token(), &request("initialize", &hello)).is(200);
    assert!(!hello.headers.contains_key("mcp-session-id"));
    assert_eq!(hello.json()["result"]["protocolVersion"], "2025-06-18");
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    post(&serving, "/mcp", serving.token(), &initialized).is(202);
    let two = call(&serving, serving.token(), "transform_executor", &json!({ "filter": "1 + 1" }));
    assert_eq!(two["content"][0]["text"], "2");
    let wrong = call(&serving, serving.token(), "transform_executor", &json!({ "filter": 7 }));
    assert_eq!(wrong["structuredContent"]["pointer"], "/filter");
}

#[test]
fn the_newest_revision_is_spoken_without_a_greeting() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({
        "name": "transform_executor", "arguments": { "filter": "1 + 1" }, "_meta": meta,
    });
    let headers = format!(
        "{}\r\n{ACCEPT}\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: transform_executor",
        serving.token()
    );
    let body = request("tools/call", &params).to_string();
    let answer = serving.ask("POST /mcp", Some(&headers), body.as_bytes()).is(200).json();
    assert_eq!(answer["result"]["content"][0]["text"], "2", "{answer:#}");
    assert_eq!(answer["result"]["resultType"], "complete");
}

#[test]
fn a_caller_finds_and_runs_what_its_role_may() {
    let policies = "roles: { agent: { permissions: [jobs-submit, jobs-read, plugins-read], \
                    blocked_tools: [sort] } }\n";
    let host = TestHost::new().with_policies(policies);
    let serving = Serving::start(&host);
    let (ada, reader) =
        (Caller::new(&serving, "ada", "agent"), Caller::new(&serving, "rea", "readonly"));
    let of_admin = list(&serving, "/mcp?all=true", serving.token());
    for name in ["sort", "transform_executor", "jobsSubmit", "tokensCreate"] {
        assert!(of_admin.iter().any(|listed| listed == name), "{name} of {of_admin:?}");
    }
    let of_agent = list(&serving, "/mcp?all=true", &ada.token);
    for name in ["sort", "tokensCreate", "policiesPut"] {
        assert!(!of_agent.iter().any(|listed| listed == name), "{name} of {of_agent:?}");
    }
    assert!(of_agent.iter().any(|listed| listed == "transform_executor"));
    let usual = list(&serving, "/mcp", &reader.token);
    assert!(usual.contains(&"jobsList".to_owned()), "{usual:?}");
    assert!(
        !usual.iter().any(|name| ["transform_executor", "jobsSubmit"].contains(&name.as_str()))
    );

    let code = |token: &str, name: &str, arguments: Value| {
        let result = call(&serving, token, name, &arguments);
        assert_eq!(result["isError"], true, "{result:#}");
        result["structuredContent"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(&ada.token, "sort", json!({ "text": "a" })), "tool-blocked");
    assert_eq!(code(&ada.token, "tokensRevokeJwt", json!({ "jti": "x" })), "forbidden");
    let filter = json!({ "filter": "1" });
    assert_eq!(code(&reader.token, "transform_executor", filter.clone()), "forbidden");
    let job = call(&serving, &ada.token, "transform_executor", &filter)["_meta"]["job_id"].clone();
    assert_eq!(code(&reader.token, "jobsFind", json!({ "id": job })), "unknown-job");
    let found = call(&serving, &ada.token, "jobsFind", &json!({ "id": job }));
    assert_eq!(found["structuredContent"]["principal"], "ada");
}

#[test]
fn what_any_other_route_refuses_is_refused_here() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let ping = request("ping", &json!({}));
    let body = ping.to_string();
    serving.ask("POST /mcp", None, body.as_bytes()).problem(401, "unauthorized");
    post(&serving, "/mcp", "apf_wrong", &ping).problem(401, "unauthorized");
    post(&serving, "/mcp?no_such=1", serving.token(), &ping).problem(400, "invalid-request");
    let elsewhere = format!("{}\r\nOrigin: https://evil.example", serving.token());
    post(&serving, "/mcp", &elsewhere, &ping).problem(403, "foreign-origin");
    for method in ["GET", "DELETE"] {
        let refused = serving.ask(&format!("{method} /mcp"), Some(serving.token()), b"");
        assert_eq!(refused.headers["allow"], "POST");
        refused.problem(405, "method-not-allowed");
    }
    let large = vec![b' '; (16 << 20) + 1];
    let headers = format!("{}\r\n{ACCEPT}", serving.token());
    serving.ask("POST /mcp", Some(&headers), &large).problem(413, "payload-too-large");
    let audit = serving.get("/api/v1/audit?verb=mcp").is(200).json();
    assert!(!audit["lines"].as_array().unwrap().is_empty(), "{audit:#}");
}

#[test]
fn a_caller_that_asks_too_often_is_told_to_wait() {
    let host = TestHost::new().with_policies(
        "roles: { agent: { requests_per_minute: 2, \
         permissions: [jobs-read] } }\n",
    );
    let serving = Serving::start(&host);
    let ada = Caller::new(&serving, "ada", "agent");
    let ping = request("ping", &json!({}));
    let first = post(&serving, "/mcp", &ada.token, &ping).is(200);
    assert_eq!(first.headers["x-ratelimit-limit"], "2");
    post(&serving, "/mcp", &ada.token, &ping).is(200);
    post(&serving, "/mcp", &ada.token, &ping).problem(429, "rate-limited");
}

#[test]
fn what_happens_is_streamed_and_a_client_that_hangs_up_cancels() {
    let host = TestHost::new();
    TALKS_AND_WAITS.load(&host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
    let serving = Serving::start(&host);
    let connection = begin(&serving, TALKS_AND_WAITS.name());
    let mut stream = EventStream::of(connection.try_clone().unwrap());
    hear(&mut stream);
    connection.shutdown(std::net::Shutdown::Both).unwrap();
    drop((stream, connection));
    let job = host.jobs()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(serving.ended(&job)["state"], "cancelled");
}

#[test]
fn a_host_that_ends_ends_its_streams() {
    let host = TestHost::new().with_settings("http: { drain_seconds: 1 }\n");
    TALKS_AND_WAITS.load(&host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
    let serving = Serving::start(&host);
    let mut stream = EventStream::of(begin(&serving, TALKS_AND_WAITS.name()));
    hear(&mut stream);
    serving.ask_to_end();
    while stream.next().is_some() {}
    assert_eq!(serving.wait(), Some(0));
}
