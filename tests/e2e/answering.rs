//! What is true of every answer: whom it is for, its headers, its id, and how it is sent.

use serde_json::json;

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

#[test]
fn only_names_of_the_host_and_pages_of_its_own_are_answered() {
    let settings = "http: { hosts: [api.example.com], origins: ['https://app.example.com'] }\n";
    let host = TestHost::new().with_settings(settings);
    let serving = Serving::start(&host);
    let ask = |method: &str, headers: &str| {
        let token = serving.token();
        let text = format!(
            "{method} /api/v1/jobs HTTP/1.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Length: 0\r\n{headers}\r\n"
        );
        Answer::read(serving.send(&text)).unwrap()
    };
    ask("GET", "Host: api.example.com\r\n").is(200);
    ask("GET", "Host: evil.example\r\n").problem(421, "unknown-host");
    let foreign = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    ask("POST", foreign).problem(403, "foreign-origin");
    let read = ask("GET", foreign).is(200);
    assert!(!read.headers.contains_key("access-control-allow-origin"), "{read:?}");
    let known = "Host: localhost\r\nOrigin: https://app.example.com\r\n";
    for (method, status) in [("GET", 200), ("POST", 400)] {
        let answer = ask(method, known).is(status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example.com");
        assert!(answer.headers["access-control-expose-headers"].contains("x-request-id"));
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    let preflight = format!(
        "OPTIONS /api/v1/jobs HTTP/1.1\r\n{known}Connection: close\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
    );
    let allowed = Answer::read(serving.send(&preflight)).unwrap().is(200);
    assert!(allowed.headers["access-control-allow-methods"].contains("POST"));
    assert!(allowed.headers["access-control-allow-headers"].contains("authorization"));
    host.holds_nothing();
}

#[test]
fn pages_may_not_use_a_host_that_names_none() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let preflight = "OPTIONS /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                     Origin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    let refused = Answer::read(serving.send(preflight)).unwrap();
    assert!(!refused.headers.keys().any(|name| name.starts_with("access-control")), "{refused:?}");
    refused.problem(405, "method-not-allowed");
}

#[test]
fn every_answer_keeps_browsers_and_caches_away() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let wrong_host = Answer::read(
        serving.send("GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    );
    for answer in [
        serving.get("/api/v1/jobs").is(200),
        serving.ask("GET /api/v1/jobs", None, b"").is(401),
        serving.ask("GET /nowhere", None, b"").is(404),
        wrong_host.unwrap().is(421),
    ] {
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
        let policy = "default-src 'none'; frame-ancestors 'none'";
        assert_eq!(answer.headers["content-security-policy"], policy);
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
}

#[test]
fn a_request_keeps_the_id_that_its_client_gave_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let ask = |id: &str| {
        let text = format!(
            "GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{id}\r\n"
        );
        let answer = Answer::read(serving.send(&text)).unwrap();
        answer.problem(401, "unauthorized")["instance"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask("X-Request-Id: from-afar.7\r\n"), "from-afar.7");
    for other in ["", "X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n"] {
        let id = ask(other);
        assert!(!id.is_empty() && id != "a b" && id != "a", "{id}");
    }
}

/// As [`whole`], in bytes.
fn whole_bytes(serving: &Serving<'_>, path: &str, headers: &str) -> Vec<u8> {
    serving.exchange_bytes(&format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         {headers}\r\n",
        serving.token()
    ))
}

/// Asks as the operator with more headers, and reads to the end.
fn whole(serving: &Serving<'_>, path: &str, headers: &str) -> String {
    String::from_utf8_lossy(&whole_bytes(serving, path, headers)).into_owned()
}

#[test]
fn long_answers_are_compressed_for_those_who_accept_it() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let plain = whole(&serving, "/api/v1/plugins", "");
    assert!(!plain.contains("\r\ncontent-encoding:"));
    let small = whole_bytes(&serving, "/api/v1/plugins", "Accept-Encoding: br, gzip\r\n");
    assert!(small.len() < plain.len() / 3, "{} of {}", small.len(), plain.len());
    let small = String::from_utf8_lossy(&small).to_lowercase();
    assert!(small.contains("\r\ncontent-encoding: gzip\r\n"), "{small:.400}");
    assert!(small.contains("\r\nvary: accept-encoding\r\n"), "{small:.400}");
    for refused in ["Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: br\r\n"] {
        assert!(!whole(&serving, "/api/v1/plugins", refused).contains("\r\ncontent-encoding:"));
    }
    let short = whole(&serving, "/health", "Accept-Encoding: gzip\r\n");
    assert!(!short.contains("\r\ncontent-encoding:"), "{short}");
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    let job = serving.submit("?wait=30", &job).is(200).json();
    let events = format!("/api/v1/jobs/{}/events", job["id"].as_str().unwrap());
    let stream = whole(&serving, &events, "Accept: text/event-stream\r\nAccept-Encoding: gzip\r\n");
    assert!(
        stream.contains("event: end\n") && !stream.contains("\r\ncontent-encoding:"),
        "{stream}"
    );
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let job = json!({ "executor": "transform_executor", "inputs": { "filter": "1" } });
    let job = serving.submit("?wait=30", &job).is(200).json();
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    for path in [path.as_str(), "/api/v1/plugins/rest_executor", "/api/v1/tools/jq"] {
        let first = serving.get(path).is(200);
        let tag = &first.headers["etag"];
        assert!(tag.starts_with("W/\""), "{tag}");
        for accept in ["", "Accept-Encoding: gzip\r\n"] {
            let seen = format!("If-None-Match: \"other\", {tag}\r\n{accept}");
            let again = whole(&serving, path, &seen);
            assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
            assert!(again.contains(&format!("\r\netag: {tag}\r\n")) && again.ends_with("\r\n\r\n"));
        }
        let other = whole(&serving, path, "If-None-Match: W/\"other\"\r\n");
        assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
    }
    let list = serving.get("/api/v1/jobs").is(200);
    serving.submit(
        "?wait=30",
        &json!({ "executor": "transform_executor", "inputs": { "filter": "1" } }),
    );
    let changed =
        whole(&serving, "/api/v1/jobs", &format!("If-None-Match: {}\r\n", list.headers["etag"]));
    assert!(changed.starts_with("HTTP/1.1 200 "), "{changed}");
}
