//! What a task asks for, and the submission that it becomes.

use std::time::Duration;

use apflow_sdk::budget::Tokens;
use apflow_sdk::{JsonSchema, Task, schemars};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The job to run, and where.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The address of the other host, like `https://jobs.example.com`. A path is kept, for a host
    /// behind a proxy.
    pub url: String,
    /// What to run there, as its own `POST /api/v1/jobs` takes it: the fields of one task, or
    /// `tasks`. `$from` and `$file` in it are this host's; write `$$from` and `$$file` for the other's.
    pub job: Map<String, Value>,
    /// The name of the secret that holds the other host's token: `apflow_api_token`,
    /// `apflow_api_token_2` or `apflow_api_token_3`. The first if left out.
    #[serde(default = "usual_secret")]
    pub token_secret: String,
    /// How long the job may take, in seconds. It is cancelled then. From 1 to 86400, which it is if
    /// left out; the time of this task counts as well.
    #[serde(default = "longest")]
    #[schemars(range(min = 1.0, max = 86400.0))]
    pub timeout_seconds: f64,
}

const TIMEOUT_SECONDS: std::ops::RangeInclusive<f64> = 1.0..=86_400.0;

fn usual_secret() -> String {
    "apflow_api_token".to_owned()
}

fn longest() -> f64 {
    *TIMEOUT_SECONDS.end()
}

/// The input names no job that could be submitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Not the address of a host.
    #[error("`url` is `{0}`, but must be the address of a host like `https://jobs.example.com`")]
    Url(String),
    /// The time limit is out of range.
    #[error("`timeout_seconds` is {0}, but must be from 1 to 86400")]
    Timeout(f64),
}

/// A job that is ready to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The address of the other host, without a slash at its end.
    pub base: String,
    /// The submission.
    pub job: Map<String, Value>,
    /// How long the job may take.
    pub timeout: Duration,
}

impl Request {
    /// Checks an input. A job of one task gets the budget and the model of this task, unless it says
    /// its own. `tokens_left` is what this task may still spend.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] for each way in which the input is wrong. What is wrong within the job, the
    /// other host says.
    pub fn new(
        input: &Input,
        task: &Task,
        tokens_left: Option<Tokens>,
    ) -> Result<Self, RequestError> {
        if !TIMEOUT_SECONDS.contains(&input.timeout_seconds) {
            return Err(RequestError::Timeout(input.timeout_seconds));
        }
        let base = input.url.trim_end_matches('/').to_owned();
        if base.contains(['?', '#']) || !base.contains("://") {
            return Err(RequestError::Url(input.url.clone()));
        }
        let mut job = unescape_map(&input.job);
        if !job.contains_key("tasks") {
            let budget = tokens_left.map(|left| Value::from(left.0));
            let model = task.model.as_deref().map(Value::from);
            for (key, value) in [("token_budget", budget), ("model", model)] {
                if let (Some(value), None) = (value, job.get(key)) {
                    job.insert(key.to_owned(), value);
                }
            }
        }
        Ok(Self { base, job, timeout: Duration::from_secs_f64(input.timeout_seconds) })
    }
}

/// Takes one `$` off the keys that begin with two. As deep as the value is nested, which the reader of
/// the input has limited.
fn unescape(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(unescape_map(map)),
        Value::Array(items) => items.iter().map(unescape).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn unescape_map(map: &Map<String, Value>) -> Map<String, Value> {
    let key = |key: &String| {
        key.strip_prefix('$').filter(|rest| rest.starts_with('$')).map(str::to_owned)
    };
    map.iter()
        .map(|(name, value)| (key(name).unwrap_or_else(|| name.clone()), unescape(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(input: Value) -> Result<Request, RequestError> {
        let task = Task { model: Some("m".to_owned()), ..Task::default() };
        Request::new(&serde_json::from_value(input).unwrap(), &task, Some(Tokens(70)))
    }

    #[test]
    fn a_job_of_one_task_inherits_the_budget_and_the_model() {
        let input = json!({ "url": "http://b:8000/", "job": { "executor": "x" } });
        let request = request(input).unwrap();
        assert_eq!(request.base, "http://b:8000");
        let expected = json!({ "executor": "x", "token_budget": 70, "model": "m" });
        assert_eq!(json!(request.job), expected);
    }

    #[test]
    fn what_a_job_says_itself_stays() {
        for job in [
            json!({ "executor": "x", "token_budget": 1, "model": "other" }),
            json!({ "tasks": [{ "executor": "x" }] }),
        ] {
            let input = json!({ "url": "http://b", "job": job });
            assert_eq!(json!(request(input).unwrap().job), job);
        }
    }

    #[test]
    fn references_of_the_other_host_are_written_with_two_dollars() {
        let job =
            json!({ "tasks": [{ "inputs": { "a": { "$$from": "b", "$x": 1, "$$$y": 2 } } }] });
        let request = request(json!({ "url": "http://b", "job": job })).unwrap();
        let expected = json!({ "a": { "$from": "b", "$x": 1, "$$y": 2 } });
        assert_eq!(request.job["tasks"][0]["inputs"], expected);
    }

    #[test]
    fn an_input_that_is_no_request_is_refused() {
        for url in ["b", "http://b?x=1", "http://b#x"] {
            let refused = request(json!({ "url": url, "job": {} })).unwrap_err();
            assert_eq!(refused, RequestError::Url(url.to_owned()));
        }
        let input = json!({ "url": "http://b", "job": {}, "timeout_seconds": 0.5 });
        assert_eq!(request(input), Err(RequestError::Timeout(0.5)));
    }
}
