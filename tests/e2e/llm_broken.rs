//! Providers that are overloaded, break off, say what is wrong, or do not end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use apflow_model::clock::Timestamp;
use serde_json::{Value, json};

use crate::host::TestHost;
use crate::providers::{
    KEYS, answer, ask, ask_often, endless, events, host, said, tokens, with_providers,
};
use crate::server::{Reply, Server};
use crate::serving::Serving;

#[test]
fn a_storm_of_refusals_is_waited_out_as_the_provider_says() {
    let left = AtomicU32::new(3);
    let server = Server::start(move |hit| {
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(3) => refusal(429, "rate_limit_exceeded").with("Retry-After", "1"),
            Ok(2) => refusal(529, "overloaded_error").with("Retry-After", "0"),
            Ok(_) => refusal(503, "unavailable"),
            Err(_) => answer(&hit.path, "At last.", 20, 3),
        }
    });
    let task = ask_often(&host(&server.origin()), &question(), 5);
    assert_eq!(task["output"]["text"], "At last.", "{task:#}");
    assert_eq!(server.hits().len(), 4);
    assert_eq!(tokens(&task), [20, 3, 1], "refusals cost nothing");
    let moment = |attempt: usize, field: &str| -> Timestamp {
        serde_json::from_value(task["attempts"][attempt][field].clone()).unwrap()
    };
    let waited = moment(1, "started_at").since(moment(0, "ended_at"));
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[test]
fn what_no_other_try_mends_is_tried_once() {
    for (status, code) in [
        (400, "invalid_request_error"),
        (401, "auth"),
        (404, "not_found"),
        (429, "insufficient_quota"),
    ] {
        let server = Server::start(move |_| refusal(status, code));
        let task = ask_often(&host(&server.origin()), &question(), 3);
        assert_eq!(
            (&task["fault"]["code"], server.hits().len()),
            (&json!("permanent"), 1),
            "{task:#}"
        );
        let message = task["fault"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("status {status}: said by {code}")), "{message}");
    }
}

#[test]
fn a_stream_that_is_cut_is_charged_and_asked_for_again() {
    let first = AtomicU32::new(1);
    let server = Server::start(move |hit| match first.swap(0, Ordering::SeqCst) {
        // It promises more than it sends.
        1 => events([said("The sky is blue becau")].into_iter(), "").with("Content-Length", "9999"),
        _ => answer(&hit.path, "The sky is blue.", 20, 5),
    });
    let task = ask_often(&host(&server.origin()), &question(), 2);
    assert_eq!(task["output"]["text"], "The sky is blue.", "{task:#}");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts[0]["fault"]["code"], "retryable");
    assert_eq!(attempts[0]["usage"]["tokens_output"], 7, "a third of the bytes that came");
    assert_eq!(attempts[1]["usage"]["tokens_output"], 5);
    assert_eq!(tokens(&task)[1], 12);
}

#[test]
fn a_stream_that_ends_without_an_end_is_asked_for_again() {
    let first = AtomicU32::new(1);
    let server = Server::start(move |hit| match first.swap(0, Ordering::SeqCst) {
        1 => events([said("The sky")].into_iter(), ""),
        _ => answer(&hit.path, "Blue.", 20, 2),
    });
    let task = ask_often(&host(&server.origin()), &question(), 2);
    let message = task["attempts"][0]["fault"]["message"].as_str().unwrap();
    assert!(message.contains("broke its answer off"), "{message}");
    assert_eq!(task["output"]["text"], "Blue.");
}

#[test]
fn an_error_within_a_stream_is_the_fault() {
    let error =
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "too much" } });
    let server = Server::start(move |_| events([error.clone()].into_iter(), ""));
    let input = json!({ "model": "anthropic/claude-sonnet-4-5", "prompt": "Why?" });
    let task = ask(&host(&server.origin()), &input).exits(1).json();
    assert_eq!(task["fault"]["code"], "retryable");
    assert!(task["fault"]["message"].as_str().unwrap().contains("too much"), "{task:#}");
}

#[test]
fn usage_that_is_missing_or_cannot_be_is_counted() {
    let text = "x".repeat(90);
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let wrong = |input: u64, output: u64| json!({ "choices": [], "usage": { "prompt_tokens": input, "completion_tokens": output } });
    for usage in [
        vec![],
        vec![wrong(0, 0)],
        vec![wrong(1 << 50, 1 << 50)],
        vec![json!({ "choices": [], "usage": { "prompt_tokens": "many" } })],
    ] {
        let all: Vec<Value> = [said(&text), end.clone()].into_iter().chain(usage).collect();
        let server = Server::start(move |_| events(all.clone().into_iter(), "data: [DONE]\n\n"));
        let task = ask(&host(&server.origin()), &question()).succeeds().json();
        assert_eq!(task["output"]["usage"]["is_counted"], true, "{task:#}");
        // Four bytes of `Why?` and a message; and a third of ninety.
        assert_eq!(tokens(&task), [6, 30, 0]);
    }
}

#[test]
fn a_stream_that_never_ends_is_left_in_time_and_charged() {
    let host = host(&endless(Duration::from_millis(20)));
    let mut input = question();
    input["timeout_seconds"] = json!(1.0);
    let task = ask(&host, &input).exits(1).json();
    assert_eq!(task["fault"]["code"], "retryable", "{task:#}");
    assert!(tokens(&task)[1] > 0, "{task:#}");
}

#[test]
fn what_was_known_of_an_answer_is_in_the_ledger_when_the_host_is_killed() {
    for host in TestHost::on_each_database() {
        let host = with_providers(host, &endless(Duration::from_millis(20)));
        let serving = Serving::start_with(&host, &KEYS);
        let task = json!({ "executor": "llm_executor", "inputs": question(), "max_attempts": 1,
                           "token_budget": 10_000 });
        let job = serving.submit("", &task).is(202).json();
        let id = job["id"].as_str().unwrap();
        let known = || serving.get("/api/v1/usage").is(200).json()["total"]["tokens"].as_u64();
        serving.until(|| known() > Some(20));
        let known = known().unwrap();
        serving.kill();
        let serving = Serving::start_with(&host, &KEYS);
        let ended = serving.ended(id);
        let task = &ended["tasks"][0];
        assert_eq!(task["fault"]["code"], "host-lost", "{ended:#}");
        let [input, output, _] = tokens(task);
        assert!(input + output >= known, "{known} were told: {ended:#}");
        let total = serving.get("/api/v1/usage").is(200).json()["total"]["tokens"].as_u64();
        assert_eq!(total, Some(input + output));
        serving.stop();
        let found = host.run(&["doctor", "--json"]).succeeds().json();
        assert_eq!(found["findings"], json!([]), "{found:#}");
    }
}

#[test]
fn a_stream_of_more_than_was_asked_for_is_left() {
    let host = host(&endless(Duration::ZERO));
    let mut input = question();
    input["max_tokens"] = 10.into();
    let task = ask(&host, &input).exits(1).json();
    assert!(task["fault"]["message"].as_str().unwrap().contains("does not end"), "{task:#}");
    assert_eq!(tokens(&task)[1], 10, "no more is charged than was asked for");
}

#[test]
fn a_task_that_is_cancelled_is_charged_for_what_came() {
    let host = host(&endless(Duration::from_millis(20)));
    let serving = Serving::start_with(&host, &KEYS);
    let task = json!({ "executor": "llm_executor", "inputs": question() });
    let job = serving.submit("", &task).is(202).json();
    let id = job["id"].as_str().unwrap();
    serving.until(|| {
        let page = serving.get(&format!("/api/v1/jobs/{id}/events")).json();
        page["events"].as_array().unwrap().iter().any(|event| event["kind"] == "progress")
    });
    serving.ask(&format!("POST /api/v1/jobs/{id}/cancel"), Some(serving.token()), b"").is(200);
    let ended = serving.ended(id);
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert!(tokens(&ended["tasks"][0])[1] > 0, "{ended:#}");
}

#[test]
fn a_call_that_the_budget_does_not_hold_is_not_made() {
    let server = Server::start(|hit| answer(&hit.path, "Yes.", 20, 2));
    let host = host(&server.origin());
    let inputs = json!({ "model": "openai/gpt-5", "turns": ["One?", "Two?"], "max_tokens": 600 });
    let task =
        json!([{ "executor": "llm_executor", "inputs": inputs, "token_budget": 612 }]).to_string();
    let ended = host.run_with(&["run", "batch", "--json", "--tasks", &task], "", &KEYS);
    let task = ended.json()["tasks"][0].clone();
    assert_eq!(task["fault"]["code"], "budget-exhausted", "{task:#}");
    assert_eq!((server.hits().len(), tokens(&task)), (1, [20, 2, 1]), "{task:#}");
}

fn question() -> Value {
    json!({ "model": "openai/gpt-5", "prompt": "Why?" })
}

fn refusal(status: u16, code: &str) -> Reply {
    let error = json!({ "error": { "code": code, "message": format!("said by {code}") } });
    Reply::text(status, error.to_string())
}
