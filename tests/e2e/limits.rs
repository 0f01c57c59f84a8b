//! Rate limits: what a caller may do within a minute, and what it is told.

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

fn number(answer: &Answer, name: &str) -> u32 {
    answer.headers[name].parse().unwrap()
}

fn task() -> Value {
    json!({"executor": "transform_executor", "inputs": {"filter": "1"}})
}

fn tasks(count: usize) -> Value {
    json!({ "tasks": vec![task(); count] })
}

#[test]
fn a_caller_is_told_what_is_left_and_refused_when_nothing_is() {
    let host = TestHost::new().with_policies(
        "roles:\n  admin: { permissions: \"*\", requests_per_minute: 3, \
         requests_per_minute_together: 100 }\n",
    );
    let serving = Serving::start(&host);
    for left in [2, 1] {
        let answer = serving.get("/api/v1/jobs").is(200);
        assert_eq!(number(&answer, "x-ratelimit-limit"), 3);
        assert_eq!(number(&answer, "x-ratelimit-remaining"), left);
        assert!((1..=61).contains(&number(&answer, "x-ratelimit-reset")));
        let policy = "\"principal\";q=3;w=60, \"role\";q=100;w=60";
        assert_eq!(answer.headers["ratelimit-policy"], policy);
        assert!(answer.headers["ratelimit"].starts_with(&format!("\"principal\";r={left};t=")));
    }
    // What fails counts as well.
    let failed = serving.get("/api/v1/jobs/j_0000000000001");
    assert_eq!(number(&failed, "x-ratelimit-remaining"), 0);
    failed.problem(404, "unknown-job");
    for what in ["POST /api/v1/jobs", "GET /api/v1/jobs/j_0000000000001/events", "GET /api/v1/jobs"]
    {
        let refused =
            serving.ask(what, Some(serving.token()), b"{\"executor\": \"transform_executor\"}");
        assert!((1..=61).contains(&number(&refused, "retry-after")), "{what}");
        assert_eq!(number(&refused, "x-ratelimit-remaining"), 0);
        let problem = refused.problem(429, "rate-limited");
        assert!(problem["detail"].as_str().unwrap().contains("3 requests a minute"), "{problem:#}");
    }
    // Who is not known, and what is open, has no limit.
    for _ in 0..5 {
        assert!(!serving.ask("GET /health", None, b"").is(200).headers.contains_key("ratelimit"));
        serving.ask("GET /api/v1/jobs", None, b"").problem(401, "unauthorized");
    }
    assert_eq!(serving.stop(), Some(0));
    assert!(host.jobs().is_empty(), "what was refused was not done");
    let refused = ["audit", "list", "--decision", "refused", "--principal", "admin", "--json"];
    let refused = host.run(&refused).succeeds().json();
    let lines = refused["lines"].as_array().unwrap();
    let codes: Vec<_> = lines.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["rate-limited"; 3], "each left one line");
}

#[test]
fn the_tasks_of_a_tool_count_each_and_a_job_counts_whole_or_not_at_all() {
    let host =
        TestHost::new().with_policies("rate_limits:\n  per_tool: { transform_executor: 3 }\n");
    let serving = Serving::start(&host);
    let never = serving.submit("", &tasks(4));
    assert!(!never.headers.contains_key("retry-after"));
    let never = never.problem(429, "rate-limited");
    assert!(
        never["detail"].as_str().unwrap().contains("more tasks of `transform_executor` than the 3")
    );
    serving.submit("", &tasks(2)).is(202);
    let refused = serving.submit("", &tasks(2));
    assert!((1..=61).contains(&number(&refused, "retry-after")));
    refused.problem(429, "rate-limited");
    // What was refused did not count, and a key that is used again asks for nothing new.
    let job = task();
    serving.submit_once("once", "", &job).is(202);
    serving.submit_once("once", "?wait=30", &job).is(200);
    serving.submit("", &job).problem(429, "rate-limited");
    let jobs = serving.get("/api/v1/jobs").is(200).json();
    let counts = jobs["jobs"].as_array().unwrap().iter().map(|job| job["task_count"].clone());
    assert_eq!(counts.collect::<Vec<_>>(), [json!(1), json!(2)]);
}

#[test]
fn a_changed_limit_holds_without_a_restart() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let answer = serving.get("/api/v1/jobs").is(200);
    assert!(!answer.headers.contains_key("ratelimit"), "an admin has none");
    host.write_policies("roles:\n  admin: { permissions: \"*\", requests_per_minute: 500000 }\n");
    serving.until(|| {
        let answer = serving.get("/api/v1/jobs").is(200);
        answer.headers.get("x-ratelimit-limit").is_some_and(|limit| limit == "500000")
    });
}
