//! Requests are built, sent, answered and refused.

use std::time::Duration;

use apflow_sdk::http::{Error, Request};
use apflow_sdk::testing::{Answer, Host};
use serde_json::json;

const URL: &str = "https://example.com/items";

#[test]
fn a_request_carries_all_it_was_given() {
    let host =
        Host::new().expect("PUT", "https://example.com/items?a=1&b=x%20y", Answer::status(204));
    let response = host.within(|| {
        Request::new("put", "https://Example.com/items?a=1")
            .query("b", "x y")
            .header("X-Try", 2)
            .json(&json!({"n": 1}))
            .timeout(Duration::from_secs(9))
            .send()
    });
    assert_eq!(response.unwrap().status, 204);
    let sent = host.requests().remove(0);
    assert_eq!(sent.header("x-try"), Some("2"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.body, br#"{"n":1}"#);
    assert_eq!(sent.timeout, Duration::from_secs(9));
    assert_eq!(host.not_sent(), [""; 0]);
}

#[test]
fn an_own_content_type_is_kept() {
    let host = Host::new().expect("POST", URL, Answer::status(200));
    let request = Request::post(URL).header("Content-Type", "application/ld+json").json(&1);
    host.within(|| request.send()).unwrap();
    assert_eq!(host.requests()[0].headers.len(), 1);
}

#[test]
fn a_response_is_read_as_text_json_and_headers() {
    let answer = Answer::json(404, &json!({"error": "gone"})).header("Retry-After", "3");
    let response =
        Host::new().expect("GET", URL, answer).within(|| Request::get(URL).send()).unwrap();
    assert!(!response.is_success());
    assert_eq!(response.header("retry-after"), Some("3"));
    assert_eq!(response.header("etag"), None);
    assert_eq!(response.json::<serde_json::Value>().unwrap()["error"], "gone");
    assert_eq!(response.text(), r#"{"error":"gone"}"#);
    assert!(response.json::<u32>().is_err());
}

#[test]
fn a_malformed_request_is_never_sent() {
    let host = Host::new();
    for request in [
        Request::get("example.com"),
        Request::get("file:///etc/passwd"),
        Request::new("GE T", URL),
        Request::get(URL).header("x-y", "a\r\nx-injected: 1"),
        Request::get(URL).header("not a name", "a"),
        Request::post(URL).json(&std::collections::HashMap::from([((1, 2), 3)])),
    ] {
        let error = host.within(|| request.send()).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
    assert!(host.requests().is_empty());
}

#[test]
fn a_slow_answer_times_out_when_the_request_says_so() {
    let answer = || Answer::status(200).after(Duration::from_secs(20));
    let host = Host::new().expect("GET", URL, answer()).expect("GET", URL, answer());
    host.within(|| {
        assert_eq!(Request::get(URL).send().unwrap().status, 200);
        let error = Request::get(URL).timeout(Duration::from_secs(5)).send().unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    });
    assert_eq!(host.elapsed(), Duration::from_secs(25));
}

#[test]
fn a_body_over_the_limit_is_too_large() {
    let host = Host::new().expect("GET", URL, Answer::text(200, "12345"));
    let error = host.within(|| Request::get(URL).body_bytes_max(4).send()).unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
}

#[test]
fn a_scripted_error_reaches_the_plugin() {
    let error = Error::Denied("no grant".to_owned());
    let host = Host::new().expect("GET", URL, Answer::error(error.clone()));
    assert_eq!(host.within(|| Request::get(URL).send()), Err(error));
}

#[test]
fn the_same_request_is_answered_in_the_order_of_the_script() {
    let host =
        Host::new().expect("GET", URL, Answer::status(503)).expect("GET", URL, Answer::status(200));
    let status = || host.within(|| Request::get(URL).send()).unwrap().status;
    assert_eq!((status(), status()), (503, 200));
}

#[test]
#[should_panic(expected = "nobody expected GET https://example.com/items")]
fn a_request_that_nobody_expected_fails_the_test() {
    drop(Host::new().within(|| Request::get(URL).send()));
}

#[test]
#[should_panic(expected = "no host is installed on this thread")]
fn a_request_without_a_host_says_what_is_missing() {
    drop(Request::get(URL).send());
}

#[test]
fn a_body_can_be_read_piece_by_piece() {
    let host = Host::new().expect("GET", URL, Answer::text(200, "hello").header("etag", "7"));
    host.within(|| {
        let mut incoming = Request::get(URL).open().unwrap();
        assert_eq!((incoming.status(), incoming.header("ETag")), (200, Some("7")));
        let mut body = Vec::new();
        while let Some(piece) = incoming.chunk().unwrap() {
            body.extend(piece);
        }
        assert_eq!(body, b"hello");
    });
}

#[test]
fn a_request_to_whoever_answers_has_its_own_scheme() {
    let url = "https+insecure://10.0.0.5:8443/";
    let host = Host::new().expect("GET", url, Answer::status(204));
    assert_eq!(host.within(|| Request::get(url).send()).unwrap().status, 204);
}
