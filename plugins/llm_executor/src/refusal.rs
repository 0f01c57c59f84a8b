//! What a provider says that it does not do, and whether it may do it another time.

use std::time::Duration;

use apflow_sdk::Fault;
use serde_json::Value;

/// How much of an answer a fault quotes, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 300;
/// The longest wait that is kept. A provider that asks for more is not coming back for this task.
const WAIT_MAX: Duration = Duration::from_hours(24);
/// A quota that is used up has the status of a rate, but waiting does not help.
const USED_UP: &str = "insufficient_quota";
/// Errors that come in a stream, where there is no status, and may pass.
const PASSING: [&str; 8] = [
    "api_error",
    "internal_error",
    "overloaded_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "server_error",
    "service_unavailable",
    "timeout_error",
];

/// The fault of an answer with a bad status. `whom` is the model and where it is.
pub fn of_status(whom: &str, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Fault {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    // Google puts its error into a list.
    let error = said.get("error").or_else(|| said.get(0)?.get("error")).unwrap_or(&Value::Null);
    let text = text(error).unwrap_or_else(|| excerpt(&String::from_utf8_lossy(body)));
    let message = format!("{whom} answered with status {status}: {text}");
    match (status, retry_after) {
        (408 | 409 | 425 | 429 | 500..=599, _) if is(error, &[USED_UP]) => {
            Fault::permanent(message)
        }
        (408 | 409 | 425 | 429 | 500..=599, Some(wait)) if wait > WAIT_MAX => {
            Fault::permanent(format!("{message} (it asks to wait for more than a day)"))
        }
        (408 | 409 | 425 | 429 | 500..=599, Some(wait)) => Fault::retryable_after(message, wait),
        (408 | 409 | 425 | 429 | 500..=599, None) => Fault::retryable(message),
        _ => Fault::permanent(message),
    }
}

/// The fault of an error that came in the midst of an answer.
pub fn of_event(error: &Value) -> Fault {
    let told = text(error).unwrap_or_else(|| excerpt(&error.to_string()));
    let message = format!("the answer was broken off: {told}");
    let code = error["code"].as_u64();
    let is_passing = error.is_string()
        || is(error, &PASSING)
        || code.is_some_and(|code| code == 429 || code >= 500);
    if is_passing { Fault::retryable(message) } else { Fault::permanent(message) }
}

fn text(error: &Value) -> Option<String> {
    error["message"].as_str().or(error.as_str()).map(excerpt)
}

fn is(error: &Value, words: &[&str]) -> bool {
    let known = |key: &str| error[key].as_str().is_some_and(|word| words.contains(&word));
    known("code") || known("type")
}

fn excerpt(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= EXCERPT_CHARACTERS_MAX {
        return text.to_owned();
    }
    text.chars().take(EXCERPT_CHARACTERS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(status: u16, retry_after: Option<Duration>, body: &Value) -> Fault {
        of_status("`own/m`", status, retry_after, body.to_string().as_bytes())
    }

    #[test]
    fn what_may_pass_is_retried_after_the_wait_that_is_named() {
        let body = json!({ "error": { "type": "overloaded_error", "message": "too much to do" } });
        for status in [408, 429, 500, 503, 529] {
            let message = format!("`own/m` answered with status {status}: too much to do");
            assert_eq!(judged(status, None, &body), Fault::retryable(message.clone()));
            let wait = Duration::from_secs(7);
            assert_eq!(judged(status, Some(wait), &body), Fault::retryable_after(message, wait));
        }
        let long = judged(429, Some(WAIT_MAX + Duration::from_secs(1)), &body);
        assert!(matches!(long, Fault::Permanent(text) if text.contains("more than a day")));
    }

    #[test]
    fn what_will_not_change_fails_for_good() {
        for (status, body) in [
            (400, json!({ "error": { "message": "no such field" } })),
            (401, json!({ "type": "error", "error": { "message": "no such field" } })),
            (404, json!({ "error": "no such field" })),
            (400, json!([{ "error": { "code": 400, "message": "no such field" } }])),
            (429, json!({ "error": { "code": USED_UP, "message": "no such field" } })),
            (302, json!("no such field")),
        ] {
            let fault = judged(status, None, &body);
            assert!(
                matches!(&fault, Fault::Permanent(text) if text.contains("no such field")),
                "{fault:?}"
            );
        }
        let long = of_status("`own/m`", 400, None, "ü".repeat(1_000).as_bytes());
        assert!(long.to_string().ends_with("ü…"));
    }

    #[test]
    fn an_error_in_a_stream_is_judged_by_its_kind() {
        for error in [
            json!({ "type": "overloaded_error", "message": "later" }),
            json!({ "code": 503, "status": "UNAVAILABLE", "message": "later" }),
            json!("later"),
        ] {
            let expected = Fault::retryable("the answer was broken off: later");
            assert_eq!(of_event(&error), expected);
        }
        for error in [json!({ "type": "invalid_request_error", "message": "no" }), json!({})] {
            assert!(matches!(of_event(&error), Fault::Permanent(_)), "{error}");
        }
    }
}
