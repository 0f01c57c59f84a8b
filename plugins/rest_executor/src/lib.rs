//! First-party plugin `rest_executor`: calls HTTP APIs.
//!
//! This file only sends what the other files plan, and hands over what comes back; it decides
//! nothing itself.

pub mod answer;
pub mod body;
pub mod input;
mod link;
pub mod pages;
pub mod plan;
pub mod redirect;
pub mod rules;
pub mod save;
pub mod success;
pub mod verdict;

use std::path::Path;

use apflow_sdk::http::{self, Incoming, Request};
use apflow_sdk::log::{self, Level};
use apflow_sdk::{Fault, Task, checkpoint, secret};

use crate::answer::{Content, Head, Output, Pages, address};
use crate::body::BodyError;
use crate::input::{Input, Paginate};
use crate::pages::{Page, Progress};
use crate::plan::{Plan, PlanError};
use crate::redirect::{REDIRECTS_MAX, RedirectError};
use crate::rules::{Rules, RulesError, beginning};

/// Where the files are that a task may send, and those that it leaves.
const IN: &str = "/in";
const OUT: &str = "/out";
/// How much is read of a body that nobody wants, so that its connection can be used again.
const UNWANTED_BYTES_MAX: usize = 64 << 10;

/// Calls an HTTP API and gives its answer as JSON, text, Base64 or a file.
///
/// # Errors
///
/// [`Fault::InvalidInput`] when the input is no request, [`Fault::Retryable`] when another try may
/// be answered better, with the wait that the server named, and [`Fault::Permanent`] otherwise.
#[apflow_sdk::executor(id = "rest_executor", name = "REST", tags = ["http", "rest", "api"])]
pub fn rest(task: Task, input: Input) -> Result<Output, Fault> {
    let secrets = |name: &str| secret::get(name);
    let plan = Plan::new(&input, &task.idempotency_key, Path::new(IN), &secrets)?;
    let rules = Rules::new(&input, plan.is_repeatable())?;
    match &input.paginate {
        Some(paginate) => all_pages(paginate, &plan, &rules),
        None => one_answer(plan, &rules),
    }
}

fn one_answer(plan: Plan, rules: &Rules<'_>) -> Result<Output, Fault> {
    let (plan, mut incoming) = send(plan, rules, rules.bytes_max)?;
    let head = head(&incoming);
    let content = if let Some(name) = rules.file_of(head.status) {
        let next = || incoming.chunk().map_err(|error| rules.lost(&plan, error));
        Content::File(save::save(Path::new(OUT), name, next)?)
    } else {
        let content_type = incoming.header("content-type").map(str::to_owned);
        let body = incoming.collect().map_err(|error| rules.lost(&plan, error))?.body;
        let read = Content::read(rules.format, content_type.as_deref(), body);
        read.map_err(|error| {
            Fault::permanent(format!("the body from {} is no JSON: {error}", address(&plan.url)))
        })?
    };
    Ok(Output::new(head, content, &plan.url))
}

/// Reads page after page. What was read is saved between two, so that a retry goes on from there.
fn all_pages(paginate: &Paginate, first: &Plan, rules: &Rules<'_>) -> Result<Output, Fault> {
    let saved = checkpoint::load::<Progress>()?;
    let mut progress = saved.unwrap_or_else(|| paginate.begin());
    let mut is_saving = true;
    loop {
        let plan = paginate.plan(first, &progress.step)?;
        let (plan, incoming) = send(plan, rules, rules.bytes_max - progress.bytes)?;
        let head = head(&incoming);
        let response = incoming.collect().map_err(|error| rules.lost(&plan, error))?;
        let body = serde_json::from_slice(&response.body).map_err(|error| {
            let page = progress.pages + 1;
            Fault::permanent(format!("page {page} from {} is no JSON: {error}", address(&plan.url)))
        })?;
        let bytes = response.body.len() as u64;
        let page = Page { url: &plan.url, headers: &head.headers, body, bytes };
        let more = paginate.take(&mut progress, page);
        let more = more.map_err(|error| Fault::permanent(error.to_string()))?;
        let truncated = more && progress.pages >= paginate.max_pages;
        if !more || truncated {
            let content = Content::Json(progress.items.into());
            let pages = Some(Pages { pages: progress.pages, truncated });
            return Ok(Output { pages, ..Output::new(head, content, &plan.url) });
        }
        if is_saving {
            is_saving = save(&progress)?;
        }
    }
}

/// Saves what was read so far. False when it has become too much: a retry goes on from what was
/// saved last.
fn save(progress: &Progress) -> Result<bool, checkpoint::Error> {
    match checkpoint::save("page", progress) {
        Ok(()) => Ok(true),
        Err(error @ (checkpoint::Error::TooLarge { .. } | checkpoint::Error::TooMany { .. })) => {
            log::write(Level::Warn, "pages are not saved any more", &[("reason", &error)]);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Sends a request, and the ones that its answer redirects to. The answer that is returned is a good
/// one, or one that the caller takes as it is.
fn send(mut plan: Plan, rules: &Rules<'_>, bytes_max: u64) -> Result<(Plan, Incoming), Fault> {
    for _ in 0..=REDIRECTS_MAX {
        let opened = open(&plan, bytes_max).map_err(|error| rules.lost(&plan, error));
        let mut incoming = opened?;
        let location = incoming.header("location").filter(|_| rules.follows(incoming.status()));
        let Some(next) = redirect::next(&plan, incoming.status(), location)? else {
            rules.check(&plan, &mut incoming)?;
            return Ok((plan, incoming));
        };
        let fields: [(&str, &dyn std::fmt::Display); 2] =
            [("status", &incoming.status()), ("to", &address(&next.url))];
        log::write(Level::Info, "redirected", &fields);
        drop(beginning(&mut incoming, UNWANTED_BYTES_MAX));
        plan = next;
    }
    let last = address(&plan.url);
    Err(Fault::permanent(format!("more than {REDIRECTS_MAX} redirects, the last to {last}")))
}

fn open(plan: &Plan, bytes_max: u64) -> Result<Incoming, http::Error> {
    let request = Request::new(plan.method.name(), plan.address())
        .timeout(plan.timeout)
        .body_bytes_max(usize::try_from(bytes_max).unwrap_or(usize::MAX));
    let request =
        plan.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match &plan.body {
        Some(body) => request.body(body.as_slice()).open(),
        None => request.open(),
    }
}

fn head(incoming: &Incoming) -> Head {
    Head { status: incoming.status(), headers: incoming.headers().to_vec() }
}

impl From<PlanError> for Fault {
    fn from(error: PlanError) -> Self {
        let message = error.to_string();
        match error {
            PlanError::Secret(error) | PlanError::Body(BodyError::Secret(error)) => error.into(),
            PlanError::Body(BodyError::Unreadable { .. }) => Self::permanent(message),
            PlanError::Url(_)
            | PlanError::Scheme(_)
            | PlanError::Userinfo
            | PlanError::NoTls
            | PlanError::Timeout(_)
            | PlanError::Username
            | PlanError::Body(_) => Self::invalid_input(message),
        }
    }
}

impl From<RulesError> for Fault {
    fn from(error: RulesError) -> Self {
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
    fn what_may_take_effect_twice_is_not_sent_again_without_a_key() {
        let once = json!({ "url": URL, "method": "POST", "idempotency_key": false });
        let keyed = json!({ "url": URL, "method": "POST" });
        let fault = |answer: &Answer, input: &Value| {
            run(&Host::new().expect("POST", URL, answer.clone()), input.clone()).unwrap_err()
        };
        for answer in [
            Answer::status(503),
            Answer::error(http::Error::Timeout("the answer took too long".to_owned())),
            Answer::error(http::Error::Protocol("connection terminated".to_owned())),
        ] {
            let text = fault(&answer, &once).to_string();
            assert!(text.contains("a POST without an `Idempotency-Key`"), "{text}");
            assert!(matches!(fault(&answer, &once), Fault::Permanent(_)));
            assert!(matches!(fault(&answer, &keyed), Fault::Retryable { .. }));
        }
        let unreached = Answer::error(http::Error::Connect("connection refused".to_owned()));
        assert!(matches!(fault(&unreached, &once), Fault::Retryable { .. }), "nothing was sent");
    }

    #[test]
    fn the_caller_says_which_statuses_are_a_success() {
        let input = |success: Value| json!({ "url": URL, "success": success });
        let host = |answer: Answer| Host::new().expect("GET", URL, answer);
        let moved = Answer::status(302).header("Location", "/elsewhere");
        let output = run(&host(moved), input(json!(["3xx"]))).unwrap();
        assert_eq!(output["status"], 302, "it is wanted, so it is not followed");
        let gone = run(&host(Answer::status(404)), input(json!(["2xx", 404]))).unwrap();
        assert_eq!(gone["status"], 404);
        let fault = run(&host(Answer::status(202)), input(json!([200]))).unwrap_err();
        assert!(matches!(fault, Fault::Permanent(text) if text.contains("status 202")));
    }

    #[test]
    fn a_body_beyond_the_limit_of_the_input_is_refused() {
        let host = Host::new().expect("GET", URL, Answer::text(200, "hello"));
        let fault = run(&host, json!({ "url": URL, "max_bytes": 4 })).unwrap_err();
        assert!(matches!(fault, Fault::Permanent(text) if text.contains("`max_bytes`")));
    }

    #[test]
    fn a_secret_is_sent_as_what_stands_for_it_and_shown_nowhere() {
        let host = Host::new().secret("key", "placeholder").expect(
            "GET",
            &format!("{URL}?key=placeholder"),
            Answer::status(204),
        );
        let key = json!({ "name": "key", "value": { "secret": "key" }, "in": "query" });
        let output = run(&host, json!({ "url": URL, "auth": { "api_key": key } })).unwrap();
        assert_eq!(output["url"], URL);
        let bearer = json!({ "url": URL, "auth": { "bearer": { "secret": "other" } } });
        let fault = run(&Host::new(), bearer).unwrap_err();
        assert!(matches!(fault, Fault::Permanent(text) if text.contains("other")));
    }

    const PAGED: &str = "https://api.example.com/items?after=2";

    fn paged() -> Value {
        let cursor = json!({ "pointer": "/next", "parameter": "after" });
        json!({ "url": URL, "paginate": { "next": { "cursor": cursor }, "items": "/data" } })
    }

    #[test]
    fn pages_are_read_one_after_the_other() {
        let host = Host::new()
            .expect("GET", URL, Answer::json(200, &json!({ "data": [1, 2], "next": "2" })))
            .expect("GET", PAGED, Answer::json(200, &json!({ "data": [3] })));
        let output = run(&host, paged()).unwrap();
        assert_eq!(output["json"], json!([1, 2, 3]));
        assert_eq!((&output["pages"], &output["truncated"]), (&json!(2), &json!(false)));
        assert_eq!(host.checkpoints().len(), 1);
    }

    #[test]
    fn a_retry_goes_on_at_the_page_that_failed() {
        let host = Host::new()
            .expect("GET", URL, Answer::json(200, &json!({ "data": [1, 2], "next": "2" })))
            .expect("GET", PAGED, Answer::status(503))
            .expect("GET", PAGED, Answer::json(200, &json!({ "data": [3] })));
        assert!(matches!(run(&host, paged()), Err(Fault::Retryable { .. })));
        assert_eq!(run(&host, paged()).unwrap()["json"], json!([1, 2, 3]));
        assert_eq!(host.requests().len(), 3);
    }

    #[test]
    fn no_more_pages_are_read_than_the_caller_wants() {
        let mut input = paged();
        input["paginate"]["max_pages"] = json!(1);
        let page = Answer::json(200, &json!({ "data": [1], "next": "2" }));
        let output = run(&Host::new().expect("GET", URL, page), input).unwrap();
        assert_eq!((&output["json"], &output["truncated"]), (&json!([1]), &json!(true)));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (key, value) in [
            ("success", json!(["2xx"])),
            ("save_as", json!("../a")),
            ("max_bytes", json!(1 << 25)),
            ("verify_tls", json!("no")),
        ] {
            let mut input = json!({ "url": URL, "fail_on_status": false });
            input[key] = value;
            assert!(matches!(run(&Host::new(), input), Err(Fault::InvalidInput(_))), "{key}");
        }
        let mut input = paged();
        input["save_as"] = json!("a");
        assert!(matches!(run(&Host::new(), input), Err(Fault::InvalidInput(_))));
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = input_schema::<Input>();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 20);
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{name}: {property}");
        }
    }
}
