//! From the input of a task to the request that is sent.
//!
//! It sends nothing, and says nothing about redirects: [`crate::redirect`] plans those.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use apflow_sdk::{JsonSchema, schemars};
use serde::Deserialize;
use serde_json::{Number, Value};
use url::Url;

/// The request to send.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where to: an absolute `http` or `https` address. A fragment is not sent.
    pub url: String,
    /// The method. `GET` if left out.
    #[serde(default)]
    pub method: Method,
    /// Headers to send. `Content-Type` and `User-Agent` are set if they are not among them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Parameters that are added to the query of `url`, encoded, in the order of their names.
    #[serde(default)]
    pub query: BTreeMap<String, Scalar>,
    /// A body to send as JSON. `null` is no body. Not together with `body`.
    #[serde(default)]
    pub json: Option<Value>,
    /// A body to send as it is, in UTF-8. Not together with `json`.
    #[serde(default)]
    pub body: Option<String>,
    /// How long one request may take, in seconds; every redirect is a new request.
    /// From 0.1 to 300; 30 if left out.
    #[serde(default = "timeout_seconds_default")]
    #[schemars(range(min = 0.1, max = 300.0))]
    pub timeout_seconds: f64,
    /// Whether a status that is not a success fails the task. If not, the answer is the output
    /// whatever its status. True if left out.
    #[serde(default = "yes")]
    pub fail_on_status: bool,
    /// Whether a `POST` or `PATCH` carries the task's own `Idempotency-Key`, the same for every
    /// attempt. A header of that name in `headers` is sent instead. True if left out.
    #[serde(default = "yes")]
    pub idempotency_key: bool,
}

const TIMEOUT_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=300.0;

const fn timeout_seconds_default() -> f64 {
    30.0
}

const fn yes() -> bool {
    true
}

/// What to do with the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the methods of RFC 9110 and RFC 5789")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Whether sending it twice may do something twice, by RFC 9110 section 9.2.2.
    const fn may_repeat_its_effect(self) -> bool {
        matches!(self, Self::Post | Self::Patch)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The value of a query parameter.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(Number),
    /// Text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => flag.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

/// The input does not describe a request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Two bodies.
    #[error("`json` and `body` are both set, but a request has one body")]
    TwoBodies,
    /// Not an absolute URL.
    #[error("`url` is not an absolute address like `https://api.example.com/items`: {0}")]
    Url(url::ParseError),
    /// Not HTTP.
    #[error("`url` begins with `{0}:`, but only http and https are spoken")]
    Scheme(String),
    /// Credentials in the URL, where logs and outputs would show them.
    #[error("`url` holds a user name or password; send an `Authorization` header instead")]
    Userinfo,
    /// The time limit is out of range.
    #[error("`timeout_seconds` is {0}, but must be from 0.1 to 300")]
    Timeout(f64),
    /// The JSON cannot be written.
    #[error("`json` cannot be written: {0}")]
    Json(String),
}

/// One request, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The method.
    pub method: Method,
    /// Where to, without fragment.
    pub url: Url,
    /// The headers, each name once.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    /// How long the request may take.
    pub timeout: Duration,
}

impl Plan {
    /// Plans the request of `input`. `idempotency_key` is the task's.
    ///
    /// # Errors
    ///
    /// A [`PlanError`] for each way in which the input is not a request.
    pub fn new(input: Input, idempotency_key: &str) -> Result<Self, PlanError> {
        let mut url = parse_url(&input.url)?;
        if !input.query.is_empty() {
            let pairs = input.query.iter().map(|(name, value)| (name, value.to_string()));
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let timeout = match input.timeout_seconds {
            seconds if TIMEOUT_SECONDS.contains(&seconds) => Duration::from_secs_f64(seconds),
            seconds => return Err(PlanError::Timeout(seconds)),
        };
        let (body, content_type) = match (input.json, input.body) {
            (Some(_), Some(_)) => return Err(PlanError::TwoBodies),
            (Some(json), None) => {
                let bytes = serde_json::to_vec(&json);
                let bytes = bytes.map_err(|error| PlanError::Json(error.to_string()))?;
                (Some(bytes), Some("application/json"))
            }
            (None, Some(text)) => (Some(text.into_bytes()), Some("text/plain; charset=utf-8")),
            (None, None) => (None, None),
        };
        let headers = input.headers.into_iter().collect();
        let mut plan = Self { method: input.method, url, headers, body, timeout };
        if let Some(content_type) = content_type {
            plan.set_default("content-type", content_type);
        }
        plan.set_default("user-agent", concat!("apflow-rest-executor/", env!("CARGO_PKG_VERSION")));
        if input.idempotency_key && plan.method.may_repeat_its_effect() {
            plan.set_default("idempotency-key", idempotency_key);
        }
        Ok(plan)
    }

    /// Sets a header that the caller has not set.
    fn set_default(&mut self, name: &str, value: &str) {
        if !self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn parse_url(text: &str) -> Result<Url, PlanError> {
    let mut url = Url::parse(text).map_err(PlanError::Url)?;
    check_url(&url)?;
    url.set_fragment(None);
    Ok(url)
}

/// Refuses what is parsed but must not be called.
///
/// # Errors
///
/// [`PlanError::Scheme`] and [`PlanError::Userinfo`].
pub fn check_url(url: &Url) -> Result<(), PlanError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(PlanError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(PlanError::Userinfo);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(input: Value) -> Result<Plan, String> {
        let input = serde_json::from_value(input).map_err(|error| error.to_string())?;
        Plan::new(input, "key-of-the-task").map_err(|error| error.to_string())
    }

    fn header<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
        let mut found = plan.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` is there twice");
        value
    }

    #[test]
    fn an_address_alone_is_a_get_of_thirty_seconds() {
        let plan = plan(json!({ "url": "https://example.com/a#part" })).unwrap();
        assert_eq!((plan.method, plan.url.as_str()), (Method::Get, "https://example.com/a"));
        assert_eq!((plan.timeout, &plan.body), (Duration::from_secs(30), &None));
        assert!(header(&plan, "user-agent").unwrap().starts_with("apflow-rest-executor/"));
        assert_eq!(header(&plan, "content-type"), None);
    }

    #[test]
    fn query_parameters_are_encoded_and_added() {
        let query = json!({ "q": "a b&c", "page": 2, "all": true });
        let plan = plan(json!({ "url": "https://example.com/?x=1", "query": query })).unwrap();
        assert_eq!(plan.url.as_str(), "https://example.com/?x=1&all=true&page=2&q=a+b%26c");
    }

    #[test]
    fn a_body_says_what_it_is_unless_the_caller_does() {
        let url = "https://example.com/";
        let sent = plan(json!({ "url": url, "method": "PUT", "json": { "a": 1 } })).unwrap();
        assert_eq!(sent.body.as_deref(), Some(br#"{"a":1}"#.as_slice()));
        assert_eq!(header(&sent, "content-type"), Some("application/json"));
        let headers = json!({ "Content-Type": "text/csv" });
        let sent = plan(json!({ "url": url, "body": "a,b", "headers": headers })).unwrap();
        assert_eq!(header(&sent, "content-type"), Some("text/csv"));
    }

    #[test]
    fn a_request_has_one_body() {
        let message = plan(json!({ "url": "https://a.example", "json": 1, "body": "x" }));
        assert!(message.unwrap_err().contains("one body"));
    }

    #[test]
    fn what_must_take_effect_once_carries_the_key_of_the_task() {
        let url = "https://example.com/";
        for (method, expected) in
            [("POST", Some("key-of-the-task")), ("PATCH", Some("key-of-the-task")), ("PUT", None)]
        {
            let plan = plan(json!({ "url": url, "method": method })).unwrap();
            assert_eq!(header(&plan, "idempotency-key"), expected, "{method}");
        }
        let own = json!({ "Idempotency-Key": "mine" });
        let sent = plan(json!({ "url": url, "method": "POST", "headers": own })).unwrap();
        assert_eq!(header(&sent, "idempotency-key"), Some("mine"));
        let without = json!({ "url": url, "method": "POST", "idempotency_key": false });
        assert_eq!(header(&plan(without).unwrap(), "idempotency-key"), None);
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_with_its_reason() {
        for (url, part) in [
            ("/items", "not an absolute address"),
            ("ftp://example.com", "begins with `ftp:`"),
            ("https://me:secret@example.com", "`Authorization` header"),
        ] {
            let message = plan(json!({ "url": url })).unwrap_err();
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_time_limit_out_of_range_is_refused() {
        for seconds in [0.0, 0.05, 300.5, -1.0] {
            let message = plan(json!({ "url": "https://a.example", "timeout_seconds": seconds }));
            assert!(message.unwrap_err().contains("from 0.1 to 300"));
        }
    }

    #[test]
    fn an_unknown_field_or_method_is_refused() {
        assert!(plan(json!({ "url": "https://a.example", "heders": {} })).is_err());
        assert!(plan(json!({ "url": "https://a.example", "method": "TRACE" })).is_err());
    }
}
