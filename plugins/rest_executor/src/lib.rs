//! First-party plugin `rest_executor`: calls HTTP APIs.
//!
//! This file only sends what the other files plan; it decides nothing itself.

pub mod answer;
mod http_date;
pub mod plan;
pub mod redirect;
pub mod verdict;

use apflow_sdk::http::{self, Request, Response};
use apflow_sdk::log::{self, Level};
use apflow_sdk::{Fault, Task};

use crate::answer::{Output, address, describe};
use crate::plan::{Input, Plan, PlanError};
use crate::redirect::{REDIRECTS_MAX, RedirectError, is_redirect};
use crate::verdict::{Verdict, judge};

/// Calls an HTTP API and gives its answer as JSON or text.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when the input is no request, [`Fault::Retryable`] when another try may
/// be answered better, with the wait that the server named, and [`Fault::Permanent`] otherwise.
#[apflow_sdk::executor(id = "rest_executor", name = "REST", tags = ["http", "rest", "api"])]
pub fn rest(task: Task, input: Input) -> Result<Output, Fault> {
    let Task { idempotency_key, .. } = task;
    let fail_on_status = input.fail_on_status;
    let mut plan = Plan::new(input, &idempotency_key)?;
    for _ in 0..=REDIRECTS_MAX {
        let response = send(&plan)?;
        let Some(next) = redirect::next(&plan, response.status, response.header("location"))?
        else {
            return finish(&plan, response, fail_on_status);
        };
        let fields: [(&str, &dyn std::fmt::Display); 2] =
            [("status", &response.status), ("to", &address(&next.url))];
        log::write(Level::Info, "redirected", &fields);
        plan = next;
    }
    Err(Fault::permanent(format!(
        "more than {REDIRECTS_MAX} redirects, the last to {}",
        address(&plan.url)
    )))
}

fn send(plan: &Plan) -> Result<Response, http::Error> {
    let request = Request::new(plan.method.name(), &plan.url).timeout(plan.timeout);
    let request =
        plan.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match &plan.body {
        Some(body) => request.body(body.as_slice()).send(),
        None => request.send(),
    }
}

fn finish(plan: &Plan, response: Response, fail_on_status: bool) -> Result<Output, Fault> {
    let verdict = judge(response.status, response.header("retry-after"), response.header("date"));
    if verdict == Verdict::Fine || !fail_on_status {
        let Response { status, headers, body } = response;
        return Ok(Output::new(status, headers, body, &plan.url));
    }
    let message = describe(plan, response.status, &response.body);
    Err(match verdict {
        Verdict::Retry(Some(wait)) => Fault::retryable_after(message, wait),
        Verdict::Retry(None) => Fault::retryable(message),
        Verdict::TooLate => {
            Fault::permanent(format!("{message} (it asks to wait for more than a day)"))
        }
        Verdict::Fail if is_redirect(response.status) => {
            Fault::permanent(format!("{message} (this redirect is not followed)"))
        }
        Verdict::Fail | Verdict::Fine => Fault::permanent(message),
    })
}

impl From<PlanError> for Fault {
    fn from(error: PlanError) -> Self {
        Self::invalid_input(error.to_string())
    }
}

impl From<RedirectError> for Fault {
    fn from(error: RedirectError) -> Self {
        Self::permanent(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use apflow_sdk::testing::{Answer, Host, input_schema};
    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "https://api.example.com/items";

    fn run(host: &Host, input: Value) -> Result<Value, Fault> {
        host.run(rest, input).map(|outcome| outcome.output)
    }

    fn fault(answer: Answer) -> Fault {
        run(&Host::new().expect("GET", URL, answer), json!({ "url": URL })).unwrap_err()
    }

    #[test]
    fn an_answer_in_json_is_the_output() {
        let host = Host::new().expect("GET", URL, Answer::json(200, &[1, 2]));
        assert_eq!(
            run(&host, json!({ "url": URL })).unwrap(),
            json!({
                "status": 200,
                "headers": { "content-type": "application/json" },
                "json": [1, 2],
                "url": URL,
            })
        );
    }

    #[test]
    fn what_the_input_says_is_what_is_sent() {
        let task = Task { idempotency_key: "key-1".to_owned(), ..Task::default() };
        let host =
            Host::new().task(task).expect("POST", &format!("{URL}?page=2"), Answer::status(204));
        let input = json!({
            "url": URL, "method": "POST", "query": { "page": 2 }, "json": { "a": 1 },
            "headers": { "X-Trace": "t" }, "timeout_seconds": 1.5,
        });
        let output = run(&host, input).unwrap();
        assert_eq!((&output["status"], &output["text"]), (&json!(204), &json!("")));
        let sent = &host.requests()[0];
        assert_eq!(
            (sent.body.as_slice(), sent.timeout),
            (br#"{"a":1}"#.as_slice(), Duration::from_millis(1_500))
        );
        assert_eq!(sent.header("x-trace"), Some("t"));
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(sent.header("idempotency-key"), Some("key-1"));
    }

    #[test]
    fn an_answer_that_may_get_better_is_retried_after_the_wait_it_names() {
        let answer = Answer::text(429, "slow down").header("Retry-After", "7");
        let message = format!("GET {URL} was answered with status 429: slow down");
        assert_eq!(fault(answer), Fault::retryable_after(message, Duration::from_secs(7)));
        assert!(matches!(fault(Answer::status(503)), Fault::Retryable { retry_after: None, .. }));
    }

    #[test]
    fn an_answer_that_will_not_change_fails_for_good() {
        let message = format!("GET {URL} was answered with status 404: none");
        assert_eq!(fault(Answer::text(404, "none")), Fault::permanent(message));
        assert!(
            matches!(fault(Answer::status(302)), Fault::Permanent(text) if text.contains("redirect"))
        );
    }

    #[test]
    fn a_failure_that_its_status_does_not_explain_says_why() {
        let wait = Answer::status(429).header("retry-after", "100000");
        for (answer, reason) in [(wait, "more than a day"), (Answer::status(302), "not followed")] {
            assert!(matches!(fault(answer), Fault::Permanent(text) if text.contains(reason)));
        }
    }

    #[test]
    fn any_status_is_an_output_when_the_input_says_so() {
        let host = Host::new().expect("GET", URL, Answer::text(503, "down"));
        let output = run(&host, json!({ "url": URL, "fail_on_status": false })).unwrap();
        assert_eq!((&output["status"], &output["text"]), (&json!(503), &json!("down")));
    }

    #[test]
    fn a_redirect_is_followed_without_secrets_of_the_first_place() {
        let other = "https://other.example/moved?key=1";
        let host = Host::new()
            .expect("GET", URL, Answer::status(302).header("Location", other))
            .expect("GET", other, Answer::text(200, "here"));
        let input = json!({ "url": URL, "headers": { "Authorization": "Bearer s" } });
        assert_eq!(run(&host, input).unwrap()["url"], json!(other));
        let sent = host.requests();
        assert_eq!(sent[0].header("authorization"), Some("Bearer s"));
        assert_eq!(sent[1].header("authorization"), None);
        let to = host.lines()[0].fields[1].clone();
        assert_eq!(to, ("to".to_owned(), "https://other.example/moved".to_owned()));
    }

    #[test]
    fn more_than_five_redirects_fail() {
        let again = Answer::status(307).header("Location", URL);
        let host = (0..6).fold(Host::new(), |host, _| host.expect("GET", URL, again.clone()));
        let fault = run(&host, json!({ "url": URL })).unwrap_err();
        assert!(matches!(fault, Fault::Permanent(text) if text.contains("more than 5 redirects")));
        assert_eq!(host.requests().len(), 6);
    }

    #[test]
    fn a_server_that_is_not_reached_is_retried_and_a_denial_is_not() {
        let unreached = Answer::error(http::Error::Connect("connection refused".to_owned()));
        assert!(matches!(fault(unreached), Fault::Retryable { .. }));
        let denied = Answer::error(http::Error::Denied("no grant".to_owned()));
        assert!(matches!(fault(denied), Fault::Permanent(_)));
    }

    #[test]
    fn an_input_that_is_no_request_is_sent_nowhere() {
        for input in [json!({ "url": "/items" }), json!({ "url": URL, "json": 1, "body": "" })] {
            let host = Host::new();
            assert!(matches!(run(&host, input), Err(Fault::InvalidInput(_))));
            assert!(host.requests().is_empty());
        }
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = input_schema::<Input>();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 9);
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{name}: {property}");
        }
    }
}
