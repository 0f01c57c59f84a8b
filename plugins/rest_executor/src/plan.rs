//! From the input of a task to the request that is sent.
//!
//! It sends nothing, and says nothing about redirects and pages: [`crate::redirect`] and
//! [`crate::pages`] plan those.

use std::path::Path;
use std::time::Duration;

use apflow_sdk::secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::body::{Body, BodyError};
use crate::input::{ApiKey, Auth, Basic, IdempotencyKey, Input, Method, Place, Secrets};

const TIMEOUT_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=300.0;

/// The input does not describe a request.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not an absolute URL.
    #[error("`url` is not an absolute address like `https://api.example.com/items`: {0}")]
    Url(url::ParseError),
    /// Not HTTP.
    #[error("`url` begins with `{0}:`, but only http and https are spoken")]
    Scheme(String),
    /// Credentials in the URL, where logs and outputs would show them.
    #[error("`url` holds a user name or password; say them with `auth` instead")]
    Userinfo,
    /// There is no certificate to leave unverified.
    #[error("`verify_tls` is false, but `url` is not https")]
    NoTls,
    /// The time limit is out of range.
    #[error("`timeout_seconds` is {0}, but must be from 0.1 to 300")]
    Timeout(f64),
    /// A user name that a password would seem to begin in.
    #[error("`auth.basic.username` holds a `:`, which ends it")]
    Username,
    /// There is no such body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A secret is not given.
    #[error(transparent)]
    Secret(#[from] secret::Error),
}

/// One request, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The method.
    pub method: Method,
    /// Where to, without fragment and without the key of the caller.
    pub url: Url,
    /// The headers, each name once.
    pub headers: Vec<(String, String)>,
    /// What says who asks, in the query.
    pub key: Option<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    /// How long the request may take.
    pub timeout: Duration,
    /// Whether the certificate of the server is verified.
    pub verify_tls: bool,
}

impl Plan {
    /// Plans the request of `input`, with files from `folder`. `idempotency_key` is the task's.
    ///
    /// # Errors
    ///
    /// A [`PlanError`] for each way in which the input is not a request.
    pub fn new(
        input: &Input,
        idempotency_key: &str,
        folder: &Path,
        secrets: Secrets<'_>,
    ) -> Result<Self, PlanError> {
        let mut url = parse_url(&input.url)?;
        if !input.verify_tls && url.scheme() != "https" {
            return Err(PlanError::NoTls);
        }
        for (name, parameter) in &input.query {
            for value in parameter.values(secrets)? {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let timeout = match input.timeout_seconds {
            seconds if TIMEOUT_SECONDS.contains(&seconds) => Duration::from_secs_f64(seconds),
            seconds => return Err(PlanError::Timeout(seconds)),
        };
        let body = Body::of(input, folder, idempotency_key, secrets)?;
        let (body, content_type) = body.map(|body| (body.bytes, body.content_type)).unzip();
        let mut headers = Vec::new();
        for (name, value) in &input.headers {
            headers.push((name.clone(), value.reveal(secrets)?));
        }
        let (method, verify_tls) = (input.method, input.verify_tls);
        let mut plan = Self { method, url, headers, key: None, body, timeout, verify_tls };
        if let Some(auth) = &input.auth {
            plan.sign(auth, secrets)?;
        }
        if let Some(content_type) = content_type {
            plan.set_default("content-type", &content_type);
        }
        plan.set_default("user-agent", concat!("apflow-rest-executor/", env!("CARGO_PKG_VERSION")));
        if !plan.method.is_idempotent() {
            match &input.idempotency_key {
                IdempotencyKey::OfTask(true) => plan.set_default(IDEMPOTENCY_KEY, idempotency_key),
                IdempotencyKey::OfTask(false) => {}
                IdempotencyKey::Own(key) => plan.set_default(IDEMPOTENCY_KEY, key),
            }
        }
        Ok(plan)
    }

    /// Whether sending it again does no harm: because of its method, or because the server can tell
    /// that it is the same.
    pub fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() || self.has(IDEMPOTENCY_KEY)
    }

    /// The address to send to: with the key of the caller, and in a scheme that the host reads as it
    /// is meant.
    pub fn address(&self) -> String {
        let mut url = self.url.clone();
        if let Some((name, value)) = &self.key {
            set_query(&mut url, name, value);
        }
        let address = String::from(url);
        match address.strip_prefix("https:") {
            Some(rest) if !self.verify_tls => format!("https+insecure:{rest}"),
            _ => address,
        }
    }

    fn sign(&mut self, auth: &Auth, secrets: Secrets<'_>) -> Result<(), PlanError> {
        match auth {
            Auth::Bearer(token) => {
                let token = token.reveal(secrets)?;
                self.set_default(AUTHORIZATION, &format!("Bearer {token}"));
            }
            Auth::Basic(Basic { username, password }) => {
                let (username, password) = (username.reveal(secrets)?, password.reveal(secrets)?);
                if username.contains(':') {
                    return Err(PlanError::Username);
                }
                // The host fills placeholders in within Base64 as well.
                let token = STANDARD.encode(format!("{username}:{password}"));
                self.set_default(AUTHORIZATION, &format!("Basic {token}"));
            }
            Auth::ApiKey(ApiKey { name, value, place: Place::Header }) => {
                let value = value.reveal(secrets)?;
                self.set_default(name, &value);
            }
            Auth::ApiKey(ApiKey { name, value, place: Place::Query }) => {
                self.key = Some((name.clone(), value.reveal(secrets)?));
            }
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// Sets a header that the caller has not set.
    fn set_default(&mut self, name: &str, value: &str) {
        if !self.has(name) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const AUTHORIZATION: &str = "authorization";

/// Sets a parameter of the query, in the place of all others of its name.
pub fn set_query(url: &mut Url, name: &str, value: &str) {
    let others = url.query_pairs().filter(|(own, _)| own != name);
    let others: Vec<_> =
        others.map(|(own, value)| (own.into_owned(), value.into_owned())).collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
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
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the type of all that give secrets")]
    fn placeholder(name: &str) -> Result<String, secret::Error> {
        Ok(format!("<{name}>"))
    }

    fn plan(input: Value) -> Result<Plan, String> {
        let input = serde_json::from_value(input).map_err(|error| error.to_string())?;
        Plan::new(&input, "key-of-the-task", Path::new("/nowhere"), &placeholder)
            .map_err(|error| error.to_string())
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
        let query = json!({ "q": "a b&c", "page": 2, "all": true, "tag": ["x", 7] });
        let plan = plan(json!({ "url": "https://example.com/?x=1", "query": query })).unwrap();
        assert_eq!(
            plan.url.as_str(),
            "https://example.com/?x=1&all=true&page=2&q=a+b%26c&tag=x&tag=7"
        );
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
    fn who_asks_is_said_where_the_server_looks_for_it() {
        let url = "https://example.com/?a=1";
        let signed = |auth: Value| plan(json!({ "url": url, "auth": auth })).unwrap();
        let key = json!({ "secret": "key" });
        let bearer = signed(json!({ "bearer": key }));
        assert_eq!(header(&bearer, "authorization"), Some("Bearer <key>"));
        let basic = signed(json!({ "basic": { "username": "me", "password": key } }));
        let expected = format!("Basic {}", STANDARD.encode("me:<key>"));
        assert_eq!(header(&basic, "authorization"), Some(expected.as_str()));
        let named = signed(json!({ "api_key": { "name": "X-Key", "value": key } }));
        assert_eq!(header(&named, "x-key"), Some("<key>"));
        let asked = signed(json!({ "api_key": { "name": "a", "value": key, "in": "query" } }));
        assert_eq!(asked.address(), "https://example.com/?a=%3Ckey%3E");
        assert_eq!(asked.url.as_str(), url, "the key is not shown");
        let wrong = json!({ "basic": { "username": "a:b", "password": "c" } });
        assert!(plan(json!({ "url": url, "auth": wrong })).is_err());
    }

    #[test]
    fn a_certificate_that_is_not_verified_is_asked_for_by_the_scheme() {
        let sent = plan(json!({ "url": "https://example.com/", "verify_tls": false })).unwrap();
        assert_eq!(sent.address(), "https+insecure://example.com/");
        let message = plan(json!({ "url": "http://example.com/", "verify_tls": false }));
        assert!(message.unwrap_err().contains("not https"));
    }

    #[test]
    fn what_may_take_effect_twice_is_repeatable_by_its_key_alone() {
        let url = "https://example.com/";
        let is_repeatable = |method: &str, key: Value| {
            let input = json!({ "url": url, "method": method, "idempotency_key": key });
            plan(input).unwrap().is_repeatable()
        };
        assert!(is_repeatable("POST", json!(true)) && is_repeatable("PATCH", json!("own")));
        assert!(!is_repeatable("POST", json!(false)));
        assert!(is_repeatable("DELETE", json!(false)) && is_repeatable("PUT", json!(false)));
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
        let said = json!({ "url": url, "method": "POST", "idempotency_key": "said" });
        assert_eq!(header(&plan(said).unwrap(), "idempotency-key"), Some("said"));
        let without = json!({ "url": url, "method": "POST", "idempotency_key": false });
        assert_eq!(header(&plan(without).unwrap(), "idempotency-key"), None);
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_with_its_reason() {
        for (url, part) in [
            ("/items", "not an absolute address"),
            ("ftp://example.com", "begins with `ftp:`"),
            ("https://me:secret@example.com", "`auth`"),
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
